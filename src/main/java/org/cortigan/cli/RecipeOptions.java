// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.List;
import org.cortigan.train.Recipe;
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
        Recipe r = Recipe.load(recipe).with(assignments);
        r.tellUnused(output::note);
        return r;
    }
}
