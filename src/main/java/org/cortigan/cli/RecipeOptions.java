// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.train.PretrainedRecipe;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which recipe a command takes, and the values that override it. */
final class RecipeOptions {
    @Option(
            names = {"-c", "--recipe"},
            required = true,
            paramLabel = "RECIPE",
            description = "Bundled recipe (see the command recipes) or YAML file.")
    private String recipe;

    @Option(
            names = {"-o", "--option"},
            paramLabel = "KEY=VALUE",
            description = "Overrides one value of the recipe, for example train.epochs=5. Repeatable.")
    private List<String> assignments = List.of();

    /** The recipe with the overrides. */
    Recipe load(Output output) {
        return load(output, null);
    }

    /** @param backbone file of a pre-trained ViT that becomes the generator's backbone; null for none */
    Recipe load(Output output, @Nullable Path backbone) {
        Recipe r = Recipe.load(recipe).with(assignments);
        if (backbone != null) r = PretrainedRecipe.onBackbone(r, backbone, assignments, output::note);
        r.tellUnused(output::note);
        return r;
    }
}
