// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.io.FolderLock;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Model;
import org.cortigan.train.ModelSoup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "average",
        description = "Averages the generator's parameters over several checkpoints of one model, into a checkpoint for"
                + " evaluate and predict.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Averaging works for checkpoints of one run, or of runs that started from the same weights (train.init)."
                    + " For other runs, average the predictions: pass several runs to evaluate or predict."
        })
final class Average implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "2..*",
            description = "Run folders (the best checkpoint of each is used) or checkpoints.")
    private List<Path> checkpoints;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "FILE",
            description = "The checkpoint to write.")
    private Path out;

    @Override
    public Integer call() {
        if (!out.toString().endsWith(".safetensors"))
            throw new InputException(
                    "--out " + out, "is not a checkpoint name", "Use a name that ends in .safetensors");
        // A run that is going on replaces its own checkpoints.
        Path folder = out.toAbsolutePath().getParent();
        try (FolderLock lock = folder == null ? null : FolderLock.takeIfUsed(folder, Average.class, output::note)) {
            List<Path> found = checkpoints.stream().map(Checkpoints::find).toList();
            for (Path p : found)
                if (InputFiles.real(p).equals(InputFiles.real(out)))
                    throw new InputException(
                            "--out " + out, "is one of the checkpoints that are averaged", "Choose another name");
            ModelSoup.write(found, out, output::note);
            Model.load(out); // Checks that the file can be read back.
        }
        output.line("%s", out);
        return 0;
    }
}
