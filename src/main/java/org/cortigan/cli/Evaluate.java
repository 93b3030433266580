package org.cortigan.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.data.SimulatedDataset;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.exec.Device;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.train.HeldOut;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Trainer;
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

    @Parameters(paramLabel = "RUN|CHECKPOINT", description = "A run's folder (its best checkpoint) or a checkpoint.")
    private Path model;

    @Option(names = "--split", defaultValue = "TEST",
            description = "test (needs responses kept apart, as simulate writes them) or validation, the images that the run"
                    + " held out (default ${DEFAULT-VALUE}).")
    private Split split;

    @Option(names = "--held-out", paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out beside the subject).")
    private Path heldOut;

    @Option(names = "--out", paramLabel = "DIR",
            description = "Folder for lh_correlation.npy, rh_correlation.npy, roi.csv, metrics.json (default: evaluation in the run).")
    private Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() {
        Path file = Shared.checkpoint(model);
        Model m = Model.load(file);
        int size = m.config().generator().image();
        try (Device device = place.open(output); AlgonautsSubject s = data.open(); Predictor p = m.predictor(device, 32)) {
            if (s.left() != m.config().left() || s.right() != m.config().right())
                throw new InputException(
                        file.toString(), "is for " + m.config().left() + " + " + m.config().right() + " vertices, the subject has "
                                + s.left() + " + " + s.right(),
                        "Give the subject that it was trained on");
            PearsonAccumulator acc;
            if (split == Split.TEST) {
                Path responses = heldOut != null ? heldOut : SimulatedDataset.heldOut(data.data, data.subject);
                try (HeldOut h = new HeldOut(s, responses, size, data.cache(), output::note)) {
                    int[] all = new int[h.count()];
                    for (int i = 0; i < all.length; i++) all[i] = i;
                    acc = Trainer.evaluate(p, h, all);
                }
            } else {
                Recipe r = Recipe.load(file.resolveSibling("recipe.yaml").toString());
                try (SubjectData d = new SubjectData(s, size, data.cache(), output::note)) {
                    int[] images = Trainer.split(r, d.count())[1];
                    if (images.length == 0)
                        throw new InputException(file.toString(), "its run held out no images", "Evaluate on the test split");
                    acc = Trainer.evaluate(p, d, images);
                }
            }
            Evaluation e = HeldOut.summary(file + " on the " + split.name().toLowerCase(java.util.Locale.ROOT) + " split", acc, s, ceiling.unit);
            Path folder = out != null ? out : file.toAbsolutePath().resolveSibling("evaluation");
            RunFolder.create(folder);
            e.write(folder);
            if (json) output.line("%s", Json.pretty(e.json()).strip());
            else output.line("%s%nwritten to %s", e.table(), folder);
            return 0;
        }
    }
}
