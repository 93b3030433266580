// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Comparison;
import org.cortigan.experiment.ComparisonOptions;
import org.cortigan.report.Report;
import org.cortigan.report.ReportRun;
import org.cortigan.train.Recipe;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "table",
        description = "Trains every recipe with every seed for every subject, and writes a comparison with ridge"
                + " regressions to table.md, table.csv and table.html.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Each run has its own folder in DIR/runs. If you repeat the command, it keeps finished runs, resumes"
                    + " interrupted runs and retries failed runs; it refuses to mix runs of different recipes or data."
                    + " If a run fails, the other runs continue, the table names the failure, and the exit code is 1.",
            "",
            "If the responses to the test images exist (subj0X_held_out, or test_split/test_fmri in the subject's"
                    + " folder), the best checkpoint of each model is"
                    + " evaluated on the test split. Otherwise the last checkpoint is evaluated on the validation"
                    + " split, because the best checkpoint was chosen on that split."
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

    @Mixin
    private ReportOptions report;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder for the table and the runs.")
    private Path out;

    @Option(
            names = "--recipes",
            split = ",",
            paramLabel = "NAME,NAME...",
            description = "Bundled recipes or YAML files (default: every bundled NAME-tiny).")
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
            description = "Also trains each recipe with loss.gan_weight=0 and shows the differences, paired by seed.")
    private boolean ablation;

    @Option(
            names = "--compare",
            split = ",",
            paramLabel = "A=B,C=D...",
            description = "Also shows the difference of mean r, recipe A minus recipe B, paired by seed.")
    private List<String> pairs = List.of();

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Overrides one value of every recipe. Repeatable.")
    private List<String> assignments = List.of();

    @Override
    public Integer call() {
        Comparison comparison = new Comparison(options(), name -> new Progress(output, name, false), output::note);
        try (Device opened = device.open(output)) {
            if (!comparison.run(opened)) return Train.STOPPED;
        }
        Path page = report.write(output, out, () -> shown(comparison));
        output.line(
                "%s%nwritten to %s, table.csv and table.html%s",
                comparison.table().markdown(), out.resolve("table.md"), page == null ? "" : "; see " + page);
        return comparison.hasFailures() ? 1 : 0;
    }

    /** The baselines and the first seed of every recipe, of the first subject, as many as a report shows. */
    private static List<ReportRun> shown(Comparison comparison) {
        return comparison.firstEvaluations().stream()
                .limit(Report.MOST_RUNS)
                .flatMap(folder -> ReportRun.find(folder).stream())
                .toList();
    }

    private ComparisonOptions options() {
        return new ComparisonOptions(
                dataOptions.data(), out, recipes, assignments, seeds, subjects, ablation, pairs, ceiling.unit());
    }
}
