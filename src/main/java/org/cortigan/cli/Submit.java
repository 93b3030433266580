// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.cortigan.cortex.Submission;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "submit",
        description = "Checks predictions for the test split and packs them into the challenge's archive format.",
        mixinStandardHelpOptions = true)
final class Submit implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            paramLabel = "N=DIR",
            arity = "1..*",
            description =
                    "Subject and folder that predict wrote, for example 1=predictions/subj01. With several folders,"
                            + " 1=DIR,DIR, the predictions are averaged.")
    private Map<Integer, String> folders;

    @Option(
            names = "--out",
            defaultValue = "submission.zip",
            paramLabel = "FILE",
            description = "The archive to write (default ${DEFAULT-VALUE}).")
    private Path out;

    @Override
    public Integer call() {
        Map<Integer, List<Path>> lists = new TreeMap<>();
        folders.forEach((subject, text) ->
                lists.put(subject, Arrays.stream(text.split(",")).map(Path::of).toList()));
        List<Integer> missing = Submission.write(out, lists, output::note);
        output.line("%s", out);
        if (!missing.isEmpty()) output.note("warning: the challenge scores all eight subjects; missing: " + missing);
        return 0;
    }
}
