// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.report.Report;
import org.cortigan.report.ReportRun;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "report",
        description = "Writes one page about evaluated runs, to open in a browser: maps of the cortex, ROIs,"
                + " distributions, training curves and photographs.",
        mixinStandardHelpOptions = true)
final class ReportCommand implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            arity = "1..*",
            paramLabel = "RUN",
            description = "Folders of evaluated runs, of evaluations, of quickstart or of table; at most 10 runs.")
    private List<Path> folders;

    @Option(names = "--out", paramLabel = "DIR", description = "Folder for report.html (default: the first RUN).")
    private @Nullable Path out;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "Folder of the challenge's data (default: the one that each evaluation was of).")
    private @Nullable Path data;

    @Option(
            names = "--subject",
            paramLabel = "N",
            description = "The subject, 1 to 8 (default: the one that each evaluation was of).")
    private @Nullable Integer subject;

    @Option(
            names = "--noise-ceiling-unit",
            paramLabel = "UNIT",
            description =
                    "Unit of the noise ceilings, fraction or percent (default: the one that each evaluation took).")
    private NoiseCeiling.@Nullable Unit unit;

    @Option(
            names = "--mesh",
            paramLabel = "DIR",
            description = "Folder surf of FreeSurfer's fsaverage, which shows every vertex (default: fsaverage5, which"
                    + " comes with CortiGAN).")
    private @Nullable Path mesh;

    @Option(
            names = "--no-photographs",
            description = "Leaves out photographs, so that the page may be passed on where they may not.")
    private boolean withoutPhotographs;

    @Override
    public Integer call() {
        List<ReportRun> runs = new ArrayList<>();
        for (Path folder : folders) runs.addAll(ReportRun.find(folder));
        Path folder = out != null ? out : folders.get(0);
        Output.requireWritable(folder);
        Path file = folder.resolve(ReportOptions.FILE);
        Report.write(
                file,
                new Report.Options(
                        runs, data, subject, unit, mesh, !withoutPhotographs, output.command(), Version.name()),
                output::note);
        output.line("written to %s: open it in a browser", file);
        return 0;
    }
}
