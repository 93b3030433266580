// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.concurrent.Callable;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(name = "recipes", description = "Lists the bundled recipes, or shows one.", mixinStandardHelpOptions = true)
final class Recipes implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            arity = "0..1",
            paramLabel = "NAME",
            description = "Bundled recipe, 'defaults' (every key, explained) or YAML file.")
    private @Nullable String name;

    @Option(names = "--full", description = "Shows every value, not only those that the recipe sets.")
    private boolean full;

    @Override
    public Integer call() {
        if (name == null) {
            for (String n : Recipe.BUNDLED)
                output.line(
                        "%-32s %s",
                        n,
                        Recipe.file(n).equals(n)
                                ? Recipe.bundled(n)
                                        .lines()
                                        .findFirst()
                                        .orElse("")
                                        .replaceFirst("^# ?", "")
                                : "the same, smaller (in its section sizes)");
            output.line("%-32s %s", "defaults", "every key with its default, explained");
        } else if (name.equals("defaults")) {
            output.out().print(Recipe.defaults());
        } else if (full || !Recipe.BUNDLED.contains(name)) {
            output.out().print(Recipe.load(name).toYaml());
        } else {
            output.out().print(Recipe.bundled(Recipe.file(name)));
        }
        output.out().flush();
        return 0;
    }
}
