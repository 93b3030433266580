// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.experiment.Checkpoints;
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
            "Use it for checkpoints of one run, or of runs that began with the same weights (train.init). For other"
                    + " runs, average the predictions instead: give several runs to evaluate or predict."
        })
final class Average implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "2..*",
            description = "Runs' folders (their best checkpoints are used) or checkpoints.")
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
            throw new InputException("--out " + out, "is not the name of a checkpoint", "End it with .safetensors");
        ModelSoup.write(checkpoints.stream().map(Checkpoints::find).toList(), out);
        Model.load(out); // checks that what was written can be read
        output.line("%s", out);
        return 0;
    }
}
