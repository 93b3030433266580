// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.experiment.Comparison;
import org.cortigan.experiment.ComparisonOptions;
import org.cortigan.experiment.ParallelRuns;
import org.cortigan.report.Report;
import org.cortigan.report.ReportRun;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
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
            "With --parallel N each run is a process with its share of the cores, or with a card. Results are those"
                    + " of runs one after the other with as many --threads. What a run prints is in log.txt in its"
                    + " folder. Ctrl-C stops all runs after their current step.",
            "",
            "If the responses to the test images exist (subj0X_held_out, or test_split/test_fmri in the subject's"
                    + " folder), the best checkpoint of each model is"
                    + " evaluated on the test split. Otherwise the last checkpoint is evaluated on the validation"
                    + " split, because the best checkpoint was chosen on that split."
        })
final class Table implements Callable<Integer> {
    private static final Pattern RANGE = Pattern.compile("(\\d{1,3})(?:-(\\d{1,3}))?");

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
            paramLabel = "N,N-N...",
            description = "Subjects, 1 to 8 (default ${DEFAULT-VALUE}); 1-8 means all.")
    private List<String> subjects;

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

    @ArgGroup
    private Mode mode = new Mode();

    /** How the runs are done; one after the other in this process if no option is given. */
    private static final class Mode {
        @Option(
                names = "--parallel",
                paramLabel = "N",
                description = "Does N runs at once, each in a process with a share of the cores (--threads, by default"
                        + " the cores of this machine divided by N), or with a card of its own.")
        private @Nullable Integer parallel;

        @ArgGroup(exclusive = false)
        private @Nullable One one;

        @Option(
                names = "--assemble",
                description = "Runs nothing: writes the table of the runs so far. The exit code is 1 if any of them is"
                        + " not finished.")
        private boolean assemble;

        @ArgGroup(exclusive = false, heading = "Jobs of Slurm:%n")
        private @Nullable SlurmOptions slurm;
    }

    private static final class One {
        @Option(
                names = "--only",
                required = true,
                paramLabel = "RUN",
                description = "Does one run, by the name of its folder in DIR/runs, and leaves the table as it is.")
        private String run;

        /** Of the processes of --parallel. */
        @Option(names = "--end-with-input", hidden = true)
        private boolean endsWithInput;
    }

    @Override
    public Integer call() {
        ComparisonOptions options = options();
        Comparison comparison = new Comparison(options, name -> new Progress(output, name, false), output::note);
        if (mode.slurm != null) {
            writeScripts(comparison, options, mode.slurm);
            return 0;
        }
        if (mode.one != null) return only(comparison, mode.one);
        if (mode.assemble) comparison.assemble();
        else if (!run(comparison, options)) return Train.STOPPED;
        Path page = report.write(output, out, () -> shown(comparison));
        output.line(
                "%s%nwritten to %s, table.csv and table.html%s",
                comparison.table().markdown(), out.resolve("table.md"), page == null ? "" : "; see " + page);
        return comparison.hasFailures() || mode.assemble && comparison.isIncomplete() ? 1 : 0;
    }

    /** Does all runs; returns false if a signal stopped them. */
    private boolean run(Comparison comparison, ComparisonOptions options) {
        if (mode.parallel != null) return comparison.runParallel(parallel(mode.parallel, options));
        try (Device opened = device.open(output)) {
            return comparison.run(opened);
        }
    }

    private int only(Comparison comparison, One one) {
        if (one.endsWithInput) OwnProcess.endWith(System.in);
        try (Device opened = device.open(output)) {
            if (!comparison.runOnly(one.run, opened)) return Train.STOPPED;
        }
        return comparison.hasFailed(one.run) ? 1 : 0;
    }

    private ParallelRuns parallel(int most, ComparisonOptions options) {
        List<String> devices = Devices.all(device.name(), output::note), arguments = arguments(options);
        int cores = Runtime.getRuntime().availableProcessors();
        int threads = device.threads() > 0 ? device.threads() : Math.max(1, cores / Math.max(1, most));
        if ((long) threads * most > cores)
            output.note("warning: " + most + " runs of " + threads + " threads share " + cores
                    + " cores, and slow each other down");
        return new ParallelRuns(most, threads, devices, (run, of) -> {
            List<String> all = new ArrayList<>(arguments);
            all.addAll(List.of("--device=" + of, "--threads=" + threads, "--only=" + run, "--end-with-input"));
            return OwnProcess.command(output.program(), List.of(OwnProcess.cores(threads)), all);
        });
    }

    private void writeScripts(Comparison comparison, ComparisonOptions options, SlurmOptions slurm) {
        String submit = new SlurmScripts(out, slurm, output)
                .write(comparison.names(), arguments(options), device.threads(), slurm.device(device.name()));
        output.line("%s", submit);
        output.note(comparison.names().size() + " runs; the command above submits them, and a job that then writes the"
                + " table. Submit again to continue what has not finished.");
    }

    /** The arguments that make the same table, without those that say where and how it is run. */
    private List<String> arguments(ComparisonOptions options) {
        List<String> all = new ArrayList<>(
                List.of("table", "--out=" + out, "--data=" + options.data().folder()));
        all.add("--cache=" + options.data().cache());
        all.add("--recipes=" + String.join(",", recipes));
        all.add("--seeds=" + joined(options.seeds()));
        all.add("--subjects=" + joined(options.subjects()));
        if (ablation) all.add("--ablation");
        if (!pairs.isEmpty()) all.add("--compare=" + String.join(",", pairs));
        for (String a : assignments) all.add("--set=" + a);
        all.add("--noise-ceiling-unit=" + ceiling.unit());
        all.addAll(report.arguments());
        return all;
    }

    private static String joined(List<?> values) {
        return values.stream().map(String::valueOf).collect(Collectors.joining(","));
    }

    /**
     * Numbers and ranges, such as 1,3-5.
     *
     * @throws InputException for anything else
     */
    static List<Integer> numbers(String option, List<String> values) {
        List<Integer> all = new ArrayList<>();
        for (String value : values) {
            Matcher m = RANGE.matcher(value);
            int first = m.matches() ? Integer.parseInt(m.group(1)) : 0;
            int last = first > 0 && m.group(2) != null ? Integer.parseInt(m.group(2)) : first;
            if (first < 1 || last < first)
                throw new InputException(
                        option + " " + String.join(",", values),
                        "'" + value + "' is neither a number nor a range",
                        "Give numbers and ranges such as 1,3-5");
            for (int n = first; n <= last; n++) all.add(n);
        }
        return all;
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
                dataOptions.data(),
                out,
                recipes,
                assignments,
                seeds,
                numbers("--subjects", subjects),
                ablation,
                pairs,
                ceiling.unit());
    }
}
