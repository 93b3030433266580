// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.data.SimulatedDataset;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.exec.Device;
import org.cortigan.train.Ensemble;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageSplit;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "evaluate",
        description = "Pearson's r of a trained model for each vertex, by hemisphere and ROI, with the noise ceiling.",
        mixinStandardHelpOptions = true)
final class Evaluate implements Callable<Integer> {
    enum Split {
        TEST,
        VALIDATION
    }

    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Data data;

    @Mixin
    private Shared.Ceiling ceiling;

    @Mixin
    private Shared.Place place;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "1..*",
            description =
                    "A run's folder (its best checkpoint) or a checkpoint; of several the mean of their predictions.")
    private List<Path> models;

    @Option(
            names = "--split",
            defaultValue = "TEST",
            description =
                    "test (needs responses kept apart, as simulate writes them) or validation, the images that the run"
                            + " held out (default ${DEFAULT-VALUE}).")
    private Split split;

    @Option(
            names = "--held-out",
            paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out beside the subject).")
    private Path heldOut;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description =
                    "Folder for lh_correlation.npy, rh_correlation.npy, roi.csv, metrics.json (default: evaluation in the run).")
    private Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() throws Exception {
        if (models.size() > 1 && out == null)
            throw new InputException(
                    "evaluate",
                    "the evaluation of several runs belongs into none of their folders",
                    "Name one by --out");
        List<Path> files = models.stream().map(Shared::checkpoint).toList();
        Evaluation e;
        try (Device device = place.open(output);
                AlgonautsSubject s = data.open()) {
            Path responses = heldOut != null ? heldOut : SimulatedDataset.heldOut(data.data, data.subject);
            e = of(files, split, s, responses, data.cache(), device, ceiling.unit, output::note);
        }
        Path folder = out != null ? out : files.get(0).toAbsolutePath().resolveSibling("evaluation");
        RunFolder.create(folder);
        e.write(folder);
        if (json) output.line("%s", Json.pretty(e.json()).strip());
        else output.line("%s%nwritten to %s", e.table(), folder);
        return 0;
    }

    /**
     * Evaluates the mean of the predictions of some checkpoints.
     *
     * @param responses folder of the responses to the test split; read for that split alone
     */
    static Evaluation of(
            List<Path> checkpoints,
            Split split,
            AlgonautsSubject s,
            Path responses,
            Path cache,
            Device device,
            NoiseCeiling.Unit unit,
            Consumer<String> log)
            throws Exception {
        String what = (checkpoints.size() == 1 ? "" : "mean of " + checkpoints.size() + " models' predictions, ")
                + checkpoints.stream().map(Path::toString).collect(Collectors.joining(", "))
                + " on the " + split.name().toLowerCase(Locale.ROOT) + " split";
        try (Ensemble models = Ensemble.load(checkpoints, device, 32, AlgonautsSubject.folderName(s.number()), true)) {
            if (s.left() != models.subject().left()
                    || s.right() != models.subject().right())
                throw new InputException(
                        checkpoints.get(0).toString(),
                        "is for " + models.subject() + ", the subject has " + s.left() + " + " + s.right(),
                        "Give the subject that it was trained on");
            if (split == Split.TEST)
                try (Shared.Sized<HeldOut> h =
                        new Shared.Sized<>(side -> new HeldOut(s, responses, side, cache, log))) {
                    return HeldOut.summary(
                            what,
                            models.evaluate(
                                    h, IntStream.range(0, s.testImages().size()).toArray()),
                            s,
                            unit);
                }
            int[] images = null;
            for (Path p : checkpoints) {
                int[] own = ImageSplit.of(
                                Recipe.ofCheckpoint(p), s.trainingImages().size())
                        .validation();
                if (own.length == 0)
                    throw new InputException(p.toString(), "its run held out no images", "Evaluate on the test split");
                if (images != null && !Arrays.equals(images, own))
                    throw new InputException(
                            p.toString(),
                            "its run held out other images than that of " + checkpoints.get(0),
                            "Evaluate on the test split, or runs of equal train.seed and train.validation");
                images = own;
            }
            try (Shared.Sized<SubjectData> d = new Shared.Sized<>(side -> new SubjectData(s, side, cache, log))) {
                return HeldOut.summary(what, models.evaluate(d, images), s, unit);
            }
        }
    }
}
