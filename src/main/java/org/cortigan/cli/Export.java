// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.io.AtomicFiles;
import org.cortigan.model.Model;
import org.cortigan.model.OnnxExport;
import org.cortigan.model.Sampling;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "export",
        description = "Writes the generator of a model for other programs, as a file of ONNX (opset 17, f32).",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "The file's input 'images' is u8 [N, S, S, 3], rows of RGB; its output 'responses' is f32 [N, vertices], the"
                    + " left hemisphere's first, in the units of the measurements. Weights of more than 2 GB are in"
                    + " FILE.data beside it. A diffusion model that predicts the mean of samples is refused: --mode mean"
                    + " exports its one evaluation at the last timestep."
        })
final class Export implements Callable<Integer> {
    @Mixin
    private Output output;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "1..*",
            description = "Run folder (its best checkpoint is used) or checkpoint. With several, the file computes the"
                    + " mean of their predictions.")
    private List<Path> models;

    @Option(names = "--onnx", required = true, paramLabel = "FILE", description = "The file to write.")
    private Path file;

    @Option(
            names = "--subject",
            paramLabel = "N",
            description = "Of models of several subjects, the one whose responses are predicted (default: 1).")
    private @Nullable Integer subject;

    @Option(
            names = "--mode",
            description = "Of a model with the readout diffusion: mean, one evaluation of the network (default: the"
                    + " recipe's mode).")
    private Sampling.@Nullable Mode mode;

    @Override
    public Integer call() {
        if (!file.toString().endsWith(".onnx"))
            throw new InputException("--onnx " + file, "is no name of an ONNX file", "Use a name that ends in .onnx");
        Output.requireWritable(AtomicFiles.folderOf(file));
        Sampling.Change change = new Sampling.Change(mode, null, List.of());
        String chosen = AlgonautsSubject.folderName(subject == null ? 1 : subject);
        Map<String, Model> loaded = new LinkedHashMap<>();
        for (Path p : models.stream().map(Checkpoints::find).toList()) {
            String own = Checkpoints.subject(p, chosen);
            if (subject != null && !own.isEmpty() && !own.equals(chosen))
                throw new InputException(p.toString(), "was trained on " + own, "Leave --subject out, or give " + own);
            if (loaded.put(p.toString(), Model.load(p).predicting(change, p.toString())) != null)
                throw new InputException(p.toString(), "is given twice", "Give each model once");
        }
        String name = Checkpoints.subject(Path.of(loaded.keySet().iterator().next()), chosen);
        List<Path> written = OnnxExport.write(loaded, name, Version.number(), file);
        output.line("%s", written.stream().map(Path::toString).collect(Collectors.joining(", ")));
        return 0;
    }
}
