// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.CpuDevice;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs that begin with values that the training photographs determine. */
class FittedReadoutTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final TrainerTest.Toy TOY = new TrainerTest.Toy(150, 9, 11, 16);

    /** A learning rate of 0 keeps the initial values. */
    private static final String[] UNTRAINED = {
        "model.generator.type=gabor",
        "model.generator.gabor.levels=2",
        "model.generator.gabor.grids=[2, 4]",
        "model.generator.gabor.hidden=[40, 24]",
        "model.generator.rank=12",
        "train.initial_readout=fitted",
        "optimizer.learning_rate=0",
        "optimizer.weight_decay=0",
        "train.epochs=1",
        "loss.gan_weight=0"
    };

    private static Recipe recipe(String... more) {
        return TrainerTest.recipe(
                Stream.concat(Stream.of(UNTRAINED), Stream.of(more)).toArray(String[]::new));
    }

    /** The values of a run's variables after it. */
    private static Map<String, float[]> run(Recipe r, Map<String, ? extends TrainingData> data, List<String> log) {
        try (Trainer t = new Trainer(r, data, CPU, null, log::add)) {
            t.run();
            Map<String, float[]> values = new HashMap<>();
            for (String name : t.variables()) values.put(name, t.variable(name));
            return values;
        }
    }

    private static Map<String, float[]> run(String... more) {
        return run(recipe(more), Map.of("", TOY), new ArrayList<>());
    }

    /** Mean r over vertices on the validation photographs of a run that does not train. */
    private static double validationR(String... more) {
        List<EpochResult> seen = new ArrayList<>();
        try (Trainer t = new Trainer(recipe(more), TOY, CPU, null)) {
            t.addListener(Listeners.onEpoch(seen::add));
            t.run();
        }
        return seen.get(0).validationMeanR();
    }

    @Test
    void aFittedReadoutPredictsWithoutTraining() {
        // The responses are sines of four brightnesses, which 120 photographs and 64 random units determine well.
        double fitted = validationR();
        assertTrue(fitted > 0.6, "r " + fitted);
        assertTrue(Math.abs(validationR("train.initial_readout=random")) < 0.3);
    }

    @Test
    void fewerImagesThanCombinationsLeaveTheOthersRandom() {
        Map<String, float[]> few =
                run(recipe("model.generator.rank=40"), Map.of("", new Subset(TOY, first(25))), new ArrayList<>());
        float[] rank = few.get("generator.rank.weight"), head = few.get("generator.head.weight");
        assertEquals(40 * 64, rank.length);
        // 20 training images, less their mean, span at most 19 directions.
        for (int r = 0; r < 40; r++) {
            int row = r;
            assertTrue(IntStream.range(0, 64).anyMatch(f -> rank[row * 64 + f] != 0), "combination " + r);
            if (r >= 20) assertTrue(IntStream.range(0, 20).allMatch(v -> head[v * 40 + row] == 0), "weights of " + r);
        }
    }

    private static int[] first(int n) {
        return IntStream.range(0, n).toArray();
    }

    @Test
    void subsetsAndStandardisedDataKeepTheRois() {
        int[] rois = {0, 0, 1, 2, 1};
        TrainingData data = new TrainingData() {
            @Override
            public int count() {
                return 4;
            }

            @Override
            public int leftVertices() {
                return 2;
            }

            @Override
            public int rightVertices() {
                return 3;
            }

            @Override
            public void image(int i, ByteBuffer into) {}

            @Override
            public void responses(int i, ByteBuffer into) {
                for (int v = 0; v < 5; v++) into.putFloat(i * v);
            }

            @Override
            public int[] roiOfVertex() {
                return rois;
            }
        };
        assertArrayEquals(rois, new Subset(data, first(2)).roiOfVertex());
        assertArrayEquals(
                rois,
                new StandardisedResponses(data, StandardisedResponses.scaling(data, first(4), false, line -> {}))
                        .roiOfVertex());
    }

    @Test
    void aVitIsFittedToo() {
        // The features of a random ViT tell less, and those of a random readout tell nothing.
        String[] vit = {"model.generator.type=vit", "model.generator.rank=16"};
        double fitted = validationR(vit), random = validationR(vit[0], vit[1], "train.initial_readout=random");
        assertTrue(fitted > random + 0.2, fitted + " against " + random);
    }

    /**
     * Trains a backbone that reads energies. 16 pixels in cells of 4 have room for 3 octaves of 8 orientations, beside
     * 3 colours.
     *
     * @param norm name of the standardisation
     * @param first name of the first layer's weight
     * @param outputs values of the first layer for each of its inputs
     */
    private static void readsStandardisedEnergies(String norm, String first, int outputs, String... backbone) {
        int channels = 3 + 3 * 8;
        Map<String, float[]> values = run(backbone);
        assertEquals(channels, values.get(norm + ".scale").length);
        assertEquals(outputs * channels, values.get(first + ".weight").length);
        for (float s : values.get(norm + ".scale")) assertTrue(s > 0 && s != 1, "scale " + s);
        assertTrue(validationR(backbone) > 0.3, "r " + validationR(backbone));
    }

    @Test
    void aVitReadsStandardisedEnergies() {
        readsStandardisedEnergies(
                "generator.patch_embed.norm",
                "generator.patch_embed.proj",
                16,
                "model.generator.type=vit",
                "model.generator.rank=16",
                "model.generator.vit.patch=4",
                "model.generator.vit.embed=gabor");
    }

    @Test
    void aCnnReadsStandardisedEnergies() {
        String[] cnn = {"model.generator.type=cnn", "model.generator.cnn.embed=gabor"};
        readsStandardisedEnergies(
                "generator.embed.norm",
                "generator.conv.0",
                8 * 4 * 4,
                cnn[0],
                cnn[1],
                "model.generator.rank=16",
                "model.generator.cnn.channels=[8]",
                "model.generator.cnn.hidden=64");
        InputException e =
                assertThrows(InputException.class, () -> run(cnn[0], cnn[1], "model.generator.cnn.channels=[8, 8, 8]"));
        assertTrue(e.getMessage().contains("halved 5 times, which 16 pixels do not allow"), e.getMessage());
        String many =
                "model.generator.cnn.channels=" + Collections.nCopies(30, 8); // 32 halvings with the energies' two
        e = assertThrows(InputException.class, () -> run(cnn[0], cnn[1], many));
        assertTrue(e.getMessage().contains("halved 32 times, which 16 pixels do not allow"), e.getMessage());
    }

    @Test
    void withoutValidationAllImagesAreFitted() {
        List<String> log = new ArrayList<>();
        run(recipe("train.validation=0"), Map.of("", TOY), log);
        String all = "is fitted to " + TOY.count() + " training images: ";
        assertTrue(log.stream().anyMatch(l -> l.contains(all)), log.toString());
        assertTrue(log.stream().noneMatch(l -> l.contains("of the initial values")), log.toString());
    }

    @Test
    void aResumedRunIsNotFittedAgain(@TempDir Path folder) {
        Recipe r = recipe("optimizer.learning_rate=0.001", "train.epochs=2");
        List<String> log = new ArrayList<>();
        Map<String, float[]> whole = run(r, Map.of("", TOY), log);
        try (Trainer t = new Trainer(r, TOY, CPU, folder)) {
            t.addListener(Listeners.onEpoch(e -> t.requestStop()));
            t.run();
        }
        log.clear();
        try (Trainer t = new Trainer(r, Map.of("", TOY), CPU, folder, log::add)) {
            t.resume(folder.resolve("last.safetensors"));
            t.run();
            for (String name : t.variables()) assertArrayEquals(whole.get(name), t.variable(name), name);
        }
        assertEquals(List.of(), log);
    }

    @Test
    void aResponseThatIsNotFiniteIsNamed() {
        Changed bad = Changed.withNan(TOY, 7, 4);
        InputException e = assertThrows(
                InputException.class, () -> run(recipe("train.validation=0"), Map.of("", bad), new ArrayList<>()));
        assertTrue(e.getMessage().contains("image 7") && e.getMessage().contains("vertex 4"), e.getMessage());
    }

    @Test
    void theControlOfShuffledPairsIsFittedToShuffledPairs() {
        double r = validationR("train.shuffle_pairs=true");
        // 20 vertices respond to 4 things, so that the mean of r over 30 photographs has a deviation near 0.1.
        assertTrue(Math.abs(r) < 0.35, "r " + r);
    }

    @Test
    void trainingImagesAreStandardised() {
        Map<String, float[]> values = run("model.generator.gabor.hidden=[]");
        Model model = Model.of(config(), values::get);
        double[] sum, squares;
        int[] training;
        try (Trainer t = new Trainer(recipe("model.generator.gabor.hidden=[]"), TOY, CPU, null)) {
            training = t.trainingImages();
        }
        int n = training.length;
        try (Predictor p = model.featureExtractor(CPU, 1)) {
            sum = new double[p.columns()];
            squares = new double[p.columns()];
            for (int i : training) {
                ByteBuffer rgb = ByteBuffer.allocate(16 * 16 * 3);
                TOY.image(i, rgb);
                float[] f = p.predict(rgb.array());
                for (int c = 0; c < f.length; c++) {
                    sum[c] += f[c];
                    squares[c] += (double) f[c] * f[c];
                }
            }
        }
        for (int c = 0; c < sum.length; c++) {
            // A feature is a float with an error of some roundings of its size before the standardisation.
            assertEquals(0, sum[c] / n, 1e-4, "mean of feature " + c);
            double variance = squares[c] / n;
            assertTrue(variance == 0 || Math.abs(variance - 1) < 1e-3, "variance " + variance + " of feature " + c);
        }
    }

    private static ModelConfig config() {
        try (Trainer t = new Trainer(recipe("model.generator.gabor.hidden=[]"), TOY, CPU, null)) {
            return t.config();
        }
    }

    @Test
    void subjectsShareTheCombinationsOfFeatures() {
        TrainerTest.Toy other = new TrainerTest.Toy(90, 5, 6, 16);
        List<EpochResult> seen = new ArrayList<>();
        try (Trainer t = new Trainer(recipe(), new TreeMap<>(Map.of("a", TOY, "b", other)), CPU, null, line -> {})) {
            t.addListener(Listeners.onEpoch(seen::add));
            t.run();
            assertEquals(12 * 64, t.variable("generator.rank.weight").length);
            assertEquals(11 * 12, t.variable("generator.head.b.weight").length);
        }
        for (String subject : List.of("a", "b")) {
            double r = seen.get(0).metrics().stream()
                    .filter(m -> m.name().equals("validation_mean_r." + subject))
                    .findFirst()
                    .orElseThrow()
                    .value();
            assertTrue(r > 0.5, subject + " " + r);
        }
    }

    @Test
    void theMovingAverageBeginsWithTheFit() {
        Map<String, float[]> values = run("optimizer.ema=0.9");
        for (String name : List.of("generator.rank.weight", "generator.head.weight", "generator.head.bias"))
            assertArrayEquals(values.get(name), values.get("ema/" + name), 1e-6f, name);
    }

    @Test
    void theBestOfTheRunMayBeTheFit(@TempDir Path folder) {
        List<String> log = new ArrayList<>();
        Recipe r = recipe("optimizer.learning_rate=0.5", "train.epochs=2"); // ruins the weights
        List<EpochResult> seen = new ArrayList<>();
        try (Trainer t = new Trainer(r, Map.of("", TOY), CPU, folder, log::add)) {
            t.addListener(Listeners.onEpoch(seen::add));
            t.run();
        }
        assertTrue(log.stream().anyMatch(l -> l.contains("initial readout is fitted")), log.toString());
        String line = log.stream()
                .filter(l -> l.contains("of the initial values"))
                .findFirst()
                .orElseThrow();
        double before = Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1));
        double last = seen.get(1).validationMeanR();
        assertTrue(last < before - 0.1, "r fell from " + before + " to " + last);
        assertTrue(Files.exists(folder.resolve("best.safetensors")));
        try (Trainer t = new Trainer(r, TOY, CPU, null);
                Predictor p = Model.load(folder.resolve("best.safetensors")).evaluator(CPU, 8, "")) {
            double[] best = Ensemble.evaluate(p, TOY, t.validationImages()).r();
            assertEquals(before, Metrics.mean(best), 1e-3);
        }
    }

    @Test
    void equalRunsGiveEqualBits() {
        Map<String, float[]> a = run(), b = run();
        a.forEach((name, v) -> assertArrayEquals(v, b.get(name), name));
    }

    @Test
    void aSpatialReadoutIsRefused() {
        InputException e = assertThrows(
                InputException.class,
                () -> new Trainer(
                        TrainerTest.recipe(
                                "model.generator.type=gabor",
                                "model.generator.gabor.levels=2",
                                "model.generator.gabor.grids=[2, 4]",
                                "model.generator.gabor.hidden=[]",
                                "model.generator.readout=position",
                                "train.initial_readout=fitted"),
                        TOY,
                        CPU,
                        null));
        // A readout of the features themselves would have vertices x features weights to fit.
        assertTrue(e.getMessage().contains("initial_readout") && e.getMessage().contains("dense"), e.getMessage());
        e = assertThrows(
                InputException.class,
                () -> new Trainer(
                        TrainerTest.recipe(
                                "model.generator.type=cnn",
                                "model.generator.readout=position",
                                "model.generator.rank=4"),
                        TOY,
                        CPU,
                        null));
        assertTrue(e.getMessage().contains("rank"), e.getMessage());
    }

    @Test
    void batchNormIsRefused() {
        InputException e = assertThrows(
                InputException.class,
                () -> new Trainer(
                        TrainerTest.recipe(
                                "model.generator.type=unet",
                                "model.generator.unet.channels=[4, 8, 8]",
                                "model.generator.unet.decoder=2",
                                "model.generator.unet.norm=batch",
                                "model.generator.rank=4",
                                "train.initial_readout=fitted"),
                        TOY,
                        CPU,
                        null));
        assertTrue(e.getMessage().contains("batch norm"), e.getMessage());
    }
}
