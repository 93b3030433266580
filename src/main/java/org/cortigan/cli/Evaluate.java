// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Evaluated;
import org.cortigan.experiment.ModelEvaluator;
import org.cortigan.io.Json;
import org.cortigan.model.Sampling;
import org.cortigan.report.ReportRun;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "evaluate",
        description = "Evaluates a trained model: Pearson's r of each vertex, by hemisphere and ROI, beside the noise"
                + " ceiling.",
        mixinStandardHelpOptions = true)
final class Evaluate implements Callable<Integer> {
    @Mixin
    private Output output;

    @Mixin
    private SubjectOptions subjectOptions;

    @Mixin
    private CeilingOptions ceiling;

    @Mixin
    private SignificanceOptions significance;

    @Mixin
    private SamplingOptions sampling;

    @Mixin
    private PrecisionOptions precision;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private ModelOptions models;

    @Mixin
    private ReportOptions report;

    @Option(
            names = "--split",
            defaultValue = "TEST",
            description =
                    "test (needs the responses to the test images, which simulate writes) or validation (the training"
                            + " images that the run held out) (default ${DEFAULT-VALUE}).")
    private ModelEvaluator.Split split;

    @Option(
            names = "--held-out",
            paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out in the data folder, or"
                    + " test_split/test_fmri in the subject's).")
    private @Nullable Path heldOut;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for {lh,rh}_{correlation,explained_variance,r2}.npy, roi.csv, metrics.json,"
                    + " photographs.csv, and readout.safetensors of a model whose readout has positions,"
                    + " queries or several layers (default: evaluation in the run folder).")
    private @Nullable Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() {
        List<Path> checkpoints = models.checkpoints();
        if (checkpoints.size() > 1 && out == null)
            throw new InputException(
                    "evaluate", "the evaluation of several runs has no default folder", "Name one with --out");
        Path folder = out != null ? out : checkpoints.get(0).toAbsolutePath().resolveSibling("evaluation");
        Output.requireWritable(folder);
        Sampling.Change change = sampling.change();
        Evaluated evaluated;
        try (Device opened = device.open(output);
                AlgonautsSubject subject = subjectOptions.open(output)) {
            Path cache = subjectOptions.data().cache();
            evaluated = new ModelEvaluator(opened, cache, ceiling.unit(), output::note, models.acceptsOtherSubject())
                    .evaluate(
                            checkpoints,
                            split,
                            subject,
                            subjectOptions.heldOut(heldOut, output),
                            significance.design(),
                            change,
                            precision.precision());
        }
        Evaluation evaluation = evaluated.evaluation();
        evaluation.madeBy(output.command());
        evaluated.write(folder);
        Path page = report.write(output, folder, () -> ReportRun.find(folder));
        if (json) output.line("%s", Json.pretty(evaluation.json()).strip());
        else output.line("%s%nwritten to %s%s", evaluation.table(), folder, page == null ? "" : "; see " + page);
        return 0;
    }
}
