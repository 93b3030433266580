// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Comparison;
import org.cortigan.experiment.ComparisonOptions;
import org.cortigan.train.Recipe;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "table",
        description =
                "Trains every recipe with every seed for every subject, and writes a comparison: table.md, table.csv,"
                        + " table.html.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Each run has its folder in DIR/runs. Given again, the command keeps finished runs, goes on with"
                    + " interrupted runs, tries failed runs again, and refuses a run whose recipe or data have changed"
                    + " since. If a run fails, the table names it and the other runs go on; the exit code is then 1.",
            "",
            "Models are evaluated on the test split by their best checkpoint if its responses are there"
                    + " (subj0X_held_out). Otherwise they are evaluated on the validation split by their last"
                    + " checkpoint, because the best one was chosen on that split."
        })
final class Table implements Callable<Integer> {
    @Mixin
    private Output output;

    @Mixin
    private CeilingOptions ceiling;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private DataOptions dataOptions;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder for the table and its runs.")
    private Path out;

    @Option(
            names = "--recipes",
            split = ",",
            paramLabel = "NAME,NAME...",
            description = "Bundled names or YAML files (default: every bundled NAME-tiny).")
    private List<String> recipes =
            Recipe.BUNDLED.stream().filter(n -> n.endsWith("-tiny")).toList();

    @Option(
            names = "--seeds",
            split = ",",
            defaultValue = "0,1,2",
            paramLabel = "N,N...",
            description = "Seeds (default ${DEFAULT-VALUE}).")
    private List<Long> seeds;

    @Option(
            names = "--subjects",
            split = ",",
            defaultValue = "1",
            paramLabel = "N,N...",
            description = "Subjects, 1 to 8 (default ${DEFAULT-VALUE}).")
    private List<Integer> subjects;

    @Option(
            names = "--ablation",
            description = "Also trains each recipe with loss.gan_weight=0, and shows the differences, paired by seed.")
    private boolean ablation;

    @Option(
            names = "--compare",
            split = ",",
            paramLabel = "A=B,C=D...",
            description = "Shows more differences of mean r, A less B, paired by seed; A and B are recipes' names.")
    private List<String> pairs = List.of();

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Changes one value of every recipe, by its path.")
    private List<String> assignments = List.of();

    @Option(
            names = "--components",
            defaultValue = "100",
            paramLabel = "N",
            description = "Principal components of the ridge baseline (default ${DEFAULT-VALUE}).")
    private int components;

    @Override
    public Integer call() {
        Comparison comparison = new Comparison(options(), name -> new Progress(output, name, false), output::note);
        try (Device opened = device.open(output)) {
            if (!comparison.run(opened)) return Train.STOPPED;
        }
        output.line(
                "%s%nwritten to %s, table.csv and table.html",
                comparison.table().markdown(), out.resolve("table.md"));
        return comparison.hasFailures() ? 1 : 0;
    }

    private ComparisonOptions options() {
        return new ComparisonOptions(
                dataOptions.data(),
                out,
                recipes,
                assignments,
                seeds,
                subjects,
                ablation,
                pairs,
                components,
                ceiling.unit());
    }
}
