// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.model.Model;
import org.cortigan.train.ModelSoup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "average",
        description =
                "The mean of the generators' parameters of several checkpoints of one model, as a checkpoint for evaluate,"
                        + " predict and submit.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "It helps for checkpoints of one run, or of runs that began with the same weights (train.init). For others take",
            "the mean of predictions: give evaluate or predict several runs."
        })
final class Average implements Callable<Integer> {
    @Mixin
    private Shared.Output output;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "2..*",
            description = "Runs' folders (their best checkpoints) or checkpoints.")
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
            throw new InputException("--out " + out, "is no name of a checkpoint", "End it with .safetensors");
        ModelSoup.write(checkpoints.stream().map(Shared::checkpoint).toList(), out);
        Model.load(out); // what is written can be read
        output.line("%s", out);
        return 0;
    }
}
