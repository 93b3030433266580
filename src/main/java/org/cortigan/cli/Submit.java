// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.Submission;
import org.cortigan.io.InputFiles;
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
    private List<String> folders;

    @Option(
            names = "--out",
            defaultValue = "submission.zip",
            paramLabel = "FILE",
            description = "The archive to write (default ${DEFAULT-VALUE}).")
    private Path out;

    @Override
    public Integer call() {
        Map<Integer, List<Path>> lists = new TreeMap<>();
        for (String text : folders) {
            int equals = text.indexOf('=');
            if (equals < 1 || !text.substring(0, equals).matches("[0-9]{1,3}") || equals == text.length() - 1)
                throw new InputException(InputFiles.quote(text), "names no subject and folder", "Write 1=DIR");
            int subject = Integer.parseInt(text.substring(0, equals));
            List<Path> own = Arrays.stream(text.substring(equals + 1).split(","))
                    .map(InputFiles::path)
                    .toList();
            for (Path folder : own)
                if (!Files.isDirectory(folder))
                    throw new InputException(
                            folder.toString(),
                            "is no folder",
                            "Give a folder that predict wrote, without a comma in its name");
            if (lists.put(subject, own) != null)
                throw new InputException(
                        InputFiles.quote(text),
                        "subject " + subject + " is given twice",
                        "Give it once; the mean of several folders is " + subject + "=DIR,DIR");
        }
        List<Integer> missing = Submission.write(out, lists, output::note);
        output.line("%s", out);
        if (!missing.isEmpty()) output.note("warning: the challenge scores all eight subjects; missing: " + missing);
        return 0;
    }
}
