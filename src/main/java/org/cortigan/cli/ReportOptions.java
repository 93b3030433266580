// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.report.Report;
import org.cortigan.report.ReportRun;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options of the report at the end of a command. */
final class ReportOptions {
    /** Name of the page. */
    static final String FILE = "report.html";

    @Option(names = "--no-report", description = "Writes no report.html.")
    private boolean withoutReport;

    @Option(
            names = "--no-photographs",
            description = "Leaves photographs out of report.html, so that it may be passed on where they may not.")
    private boolean withoutPhotographs;

    /**
     * Writes the report of evaluations whose files name their subject. A report that cannot be made is no failure of
     * the command, whose results are written: a note says why.
     *
     * @return the file; null if there is none
     */
    @Nullable
    Path write(Output output, Path folder, Supplier<List<ReportRun>> runs) {
        if (withoutReport) return null;
        Path file = folder.resolve(FILE);
        try {
            List<ReportRun> all = runs.get();
            if (all.isEmpty()) return null;
            Report.write(
                    file,
                    new Report.Options(
                            all, null, null, null, null, !withoutPhotographs, command(all, folder), Version.name()),
                    output::note);
            return file;
        } catch (InputException e) {
            output.note("no " + FILE + ": " + e.getMessage());
            return null;
        }
    }

    /** These options as they were given. */
    List<String> arguments() {
        List<String> all = new ArrayList<>();
        if (withoutReport) all.add("--no-report");
        if (withoutPhotographs) all.add("--no-photographs");
        return all;
    }

    /** The command that makes the page again, from any folder. */
    private String command(List<ReportRun> runs, Path folder) {
        Stream<String> evaluations = runs.stream()
                .map(r ->
                        Output.typed(r.evaluation().toAbsolutePath().normalize().toString()));
        String to = " --out " + Output.typed(folder.toAbsolutePath().normalize().toString());
        return evaluations.collect(Collectors.joining(" ", "tools/cortigan report ", to))
                + (withoutPhotographs ? " --no-photographs" : "");
    }
}
