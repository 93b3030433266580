// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.data.SimulatedDataset;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.RidgeBaseline;
import org.cortigan.eval.RowSource;
import org.cortigan.exec.Device;
import org.cortigan.graph.DType;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Weights;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageFeatures;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "baseline",
        description =
                "The field's yardstick: features, standardised, principal components, ridge regression for each vertex.",
        mixinStandardHelpOptions = true)
final class Baseline implements Callable<Integer> {
    private static final int PIXELS = 32;
    /** Side of the photographs whose pixels are averaged to features. */
    static final int PIXELS_OF = 2 * PIXELS;

    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Data data;

    @Mixin
    private Shared.Ceiling ceiling;

    @Mixin
    private Shared.Place place;

    @Option(
            names = "--features",
            defaultValue = "pixels",
            paramLabel = "WHAT",
            description =
                    "pixels; a run's folder or checkpoint (what its head reads); or a safetensors file of a ViT with"
                            + " --recipe (default ${DEFAULT-VALUE}).")
    private String features;

    @Option(names = "--recipe", paramLabel = "RECIPE", description = "Shape of the ViT whose weights --features names.")
    private String recipe;

    @Option(
            names = "--components",
            defaultValue = "100",
            paramLabel = "N",
            description = "Principal components (default ${DEFAULT-VALUE}).")
    private int components;

    @Option(
            names = "--held-out",
            paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out).")
    private Path heldOut;

    @Option(names = "--out", paramLabel = "DIR", description = "Folder for the evaluation's files.")
    private Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() {
        if (components < 1) throw new InputException("--components " + components, "is too small", "Give at least 1");
        boolean pixels = features.equals("pixels");
        try (AlgonautsSubject s = data.open()) {
            Model m = pixels ? null : model(s);
            int size = pixels ? PIXELS_OF : m.config().generator().image();
            Path responses = heldOut != null ? heldOut : SimulatedDataset.heldOut(data.data, data.subject);
            RidgeBaseline.Options o = options(components);
            try (SubjectData d = new SubjectData(s, size, data.cache(), output::note);
                    HeldOut h = new HeldOut(s, responses, size, data.cache(), output::note)) {
                Evaluation e;
                if (pixels) {
                    e = pixels(d, h, "test split", s, components, ceiling.unit);
                } else {
                    String label = "ridge on " + components + " components of features of " + features + ", test split";
                    try (Device device = place.open(output);
                            Predictor p = m.featureExtractor(device, 32)) {
                        RowSource train = ImageFeatures.of(p, d), test = ImageFeatures.of(p, h);
                        e = h.ridge(label, train, test, d, o, ceiling.unit);
                    }
                }
                if (out != null) {
                    RunFolder.create(out);
                    e.write(out);
                }
                output.line("%s", json ? Json.pretty(e.json()).strip() : e.table());
            }
        }
        return 0;
    }

    private static RidgeBaseline.Options options(int components) {
        return RidgeBaseline.Options.defaults().withComponents(components);
    }

    /** Ridge on the pixels of photographs of side {@link #PIXELS_OF}. */
    static Evaluation pixels(
            TrainingData training,
            TrainingData test,
            String split,
            AlgonautsSubject s,
            int components,
            NoiseCeiling.Unit unit) {
        return HeldOut.ridge(
                "ridge on " + components + " components of pixels, " + split,
                ImageFeatures.pixels(training, PIXELS_OF, PIXELS),
                ImageFeatures.pixels(test, PIXELS_OF, PIXELS),
                training,
                test,
                s,
                options(components),
                unit);
    }

    private Model model(AlgonautsSubject s) {
        Path file = Shared.checkpoint(Path.of(features));
        if (recipe == null) return Model.load(file);
        Recipe r = Recipe.load(recipe);
        ModelConfig c = ModelConfig.of(r.section("model"), List.of(new ModelConfig.Subject("", s.left(), s.right())));
        PretrainedVit p = PretrainedVit.load(file, c);
        output.note("weights: missing " + p.missing() + ", unexpected " + p.unexpected());
        Map<String, float[]> w = new LinkedHashMap<>(p.values());
        for (Weights.Spec spec : c.generatorWeights(DType.F32).specs())
            if (!w.containsKey(spec.name())) {
                if (!spec.name().startsWith(Generator.PREFIX + "head."))
                    throw new InputException(file.toString(), "lacks " + spec.name(), "Features need the whole ViT");
                w.put(spec.name(), new float[(int) spec.shape().elements()]);
            }
        return Model.of(c, w);
    }
}
