// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.eval.Metrics;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.exec.CpuDevice;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training and evaluation of responses of any offset and scale. */
class ResponseScalingTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final TrainingData TOY = TrainerTest.TOY;
    private static final int VERTICES = TOY.leftVertices() + TOY.rightVertices();

    /** Responses of standard deviation {@code 2 scale} around {@code offset}; those of TOY have about 0.4. */
    private static TrainingData toy(double offset, double scale) {
        return new Changed(TOY, (i, r, at) -> {
            for (int v = 0; v < VERTICES; v++)
                r.putFloat(at + 4 * v, (float) (r.getFloat(at + 4 * v) * 5 * scale + offset));
        });
    }

    /** Exactly the same responses without the offset: the difference of near floats rounds nothing. */
    private static TrainingData less(TrainingData data, double offset) {
        return new Changed(data, (i, r, at) -> {
            for (int v = 0; v < VERTICES; v++) r.putFloat(at + 4 * v, (float) (r.getFloat(at + 4 * v) - offset));
        });
    }

    private static double trained(Path folder, TrainingData data, String... options) {
        List<Double> r = new ArrayList<>();
        RunFolder.create(folder);
        try (Trainer t = new Trainer(TrainerTest.recipe(options).with("train.epochs=30"), data, CPU, folder)) {
            t.addListener(Listeners.onEpoch(e -> r.add(e.validationMeanR())));
            t.run();
        }
        return r.get(r.size() - 1);
    }

    private static int[] validation() {
        return ImageSplit.of(TrainerTest.recipe(), TOY.count()).validation();
    }

    @Test
    @Tag("slow")
    void anOffsetDoesNotChangeR(@TempDir Path dir) {
        for (double offset : new double[] {1e4, -1e4, 1e6}) {
            Path folder = dir.resolve(Double.toString(offset));
            TrainingData data = toy(offset, 1);
            // Without the GAN, whose two sides magnify small differences.
            double without = trained(dir.resolve("without" + offset), less(data, offset), "loss.gan_weight=0");
            assertTrue(without > 0.5, "r " + without);
            double validated = trained(folder, data, "loss.gan_weight=0");
            // The mean is stored in float: near 1e6 a residue of up to 1/32 is left of a standard deviation of 2.
            assertEquals(without, validated, 0.02, "offset " + offset);
            Model m = Model.load(RunFolder.last(folder));
            int[] held = validation();
            try (Predictor plain = m.predictor(CPU, 8);
                    Predictor evaluator = m.evaluator(CPU, 8, "")) {
                PearsonAccumulator host = Ensemble.evaluate(plain, data, held);
                PearsonAccumulator device = Ensemble.evaluate(evaluator, data, held);
                assertEquals(validated, Metrics.mean(host.r()), 1e-12);
                assertEquals(validated, Metrics.mean(device.r()), 1e-12);
                assertArrayEquals(host.r2(), device.r2(), 1e-9);
                assertTrue(Metrics.mean(host.r2()) > 0, "R2 sees the mean " + Metrics.mean(host.r2()));
                for (float p : plain.predict(image(held[0]))) assertEquals(offset, p, 20, "the mean is added");
            }
        }
    }

    private static byte[] image(int i) {
        ByteBuffer rgb = ByteBuffer.allocate(16 * 16 * 3);
        TOY.image(i, rgb);
        return rgb.array();
    }

    @Test
    @Tag("slow")
    void aScaleDoesNotChangeTraining(@TempDir Path dir) {
        double one = trained(dir.resolve("one"), toy(0, 1));
        // A power of two changes no bit; others change the standard deviation that training sees by up to sqrt(2).
        assertEquals(one, trained(dir.resolve("1024"), toy(0, 1024)));
        for (double scale : new double[] {1e-20, 1e-3, 1e3, 1e30})
            assertEquals(one, trained(dir.resolve("s" + scale), toy(0, scale)), 0.05, "scale " + scale);
    }

    /**
     * Vertices whose scale is not that of the others have a correlation loss too. If the guard did not follow it, 0.01
     * beside sums of squares of 8e-6 would keep the loss of 8 of 20 vertices at 1.
     */
    @Test
    void verticesOfOtherScalesLearn() {
        double all = correlationLoss(1);
        assertTrue(all < 0.6, "correlation loss " + all);
        for (double scale : new double[] {1e-3, 1e3}) {
            double some = correlationLoss(scale);
            double unlearned = 0.4 + 0.6 * all;
            assertTrue(some < (all + unlearned) / 2, "scale " + scale + ": correlation loss " + some + ", not " + all);
        }
    }

    /** The correlation loss after training on data whose first 8 vertices have another scale. */
    private static double correlationLoss(double scale) {
        TrainingData data = new Changed(toy(0, 1), (i, row, at) -> {
            for (int v = 0; v < 8; v++) row.putFloat(at + 4 * v, (float) (row.getFloat(at + 4 * v) * scale));
        });
        List<Double> losses = new ArrayList<>();
        Recipe recipe = TrainerTest.recipe("train.epochs=30", "loss.pixel_weight=0", "loss.gan_weight=0");
        try (Trainer t = new Trainer(recipe, data, CPU, null)) {
            t.addListener(Listeners.onEpoch(e -> losses.add(e.means().get("correlation"))));
            t.run();
        }
        return losses.get(losses.size() - 1);
    }

    @Test
    void modelsOfDifferentMeansAreAveragedInMeasuredUnits(@TempDir Path dir) {
        Path a = dir.resolve("a"), b = dir.resolve("b");
        trained(a, toy(5, 1));
        trained(b, toy(9, 2));
        byte[] rgb = image(0);
        float[] first, second;
        Model one = Model.load(RunFolder.last(a)), other = Model.load(RunFolder.last(b));
        try (Predictor p = one.predictor(CPU, 1);
                Predictor q = other.predictor(CPU, 1)) {
            first = p.predict(rgb);
            second = q.predict(rgb);
        }
        float[] mean = new float[VERTICES];
        int[] held = validation();
        PearsonAccumulator want = new PearsonAccumulator(VERTICES);
        TrainingData data = toy(7, 1);
        try (Ensemble e = new Ensemble(List.of(one.predictor(CPU, 1), other.predictor(CPU, 1)))) {
            e.predict((k, side, into) -> into.put(rgb), 1, mean);
            for (int v = 0; v < VERTICES; v++) assertEquals((first[v] + second[v]) / 2, mean[v], 1e-5);
            float[] target = new float[VERTICES];
            ByteBuffer row = ByteBuffer.allocate(4 * VERTICES).order(ByteOrder.LITTLE_ENDIAN);
            for (int i : held) {
                e.predict((k, side, into) -> data.image(i, into), 1, mean);
                data.responses(i, row.clear());
                row.flip().asFloatBuffer().get(target);
                want.add(mean, target, 1);
            }
            PearsonAccumulator got = e.evaluate(side -> data, held);
            assertArrayEquals(want.r(), got.r(), 1e-5);
            assertArrayEquals(want.r2(), got.r2(), 1e-5);
        }
    }

    @Test
    void theScalingIsThatOfTheTrainingImagesAndSurvivesNanAndConstants() {
        int[] images = {3, 5, 8, 9};
        TrainingData data = new Changed(toy(1e6, 1), (i, r, at) -> {
            r.putFloat(at, 0.1f);
            if (i == 5) r.putFloat(at + 4, Float.NaN);
        });
        ResponseScaling s = StandardisedResponses.scaling(data, images, false, line -> {});
        assertEquals(2, s.scale(1));
        assertEquals(0.1f, s.mean()[0]);
        ByteBuffer row = ByteBuffer.allocate(4 * VERTICES).order(ByteOrder.LITTLE_ENDIAN);
        double[] sum = new double[VERTICES];
        for (int i : images) {
            data.responses(i, row.clear());
            for (int v = 0; v < VERTICES; v++) if (i != 5 || v != 1) sum[v] += row.getFloat(4 * v);
        }
        for (int v = 1; v < VERTICES; v++) assertEquals((float) (sum[v] / (v == 1 ? 3 : 4)), s.mean()[v]);
        new StandardisedResponses(data, s).responses(3, row.clear());
        assertEquals(0, row.getFloat(0), "a constant vertex stays constant");
        float learned = row.getFloat(8);
        data.responses(3, row.clear());
        assertEquals((row.getFloat(8) - s.mean()[2]) / 2, learned);
        assertEquals(
                1,
                StandardisedResponses.scaling(data, new int[] {3}, false, line -> {})
                        .scale(0),
                "one image has no deviation");
    }

    /** What is only the least deviation tells nothing of a vertex, whether it was constant or varied less. */
    @Test
    void theDeviationOfAVertexThatHardlyVariesIsNotKnown() {
        int[] images = IntStream.range(0, 40).toArray();
        for (int constant : new int[] {0, 1, 4, 15}) {
            TrainingData data = new Changed(toy(0, 1), (i, r, at) -> {
                for (int v = 0; v < constant; v++) r.putFloat(at + 4 * v, 3);
                r.putFloat(at + 4 * 18, 1e-4f * r.getFloat(at + 4 * 18));
                r.putFloat(at + 4 * 19, 1e-2f * r.getFloat(at + 4 * 19));
            });
            ResponseScaling s = StandardisedResponses.scaling(data, images, true, line -> {});
            float[] deviations = s.deviations();
            for (int v = 0; v < VERTICES; v++)
                if (v < constant || v == 18) assertTrue(Float.isNaN(deviations[v]), constant + ", vertex " + v);
                else assertEquals(s.scale(v), deviations[v]);
        }
        assertArrayEquals(new float[] {1, 2, 3}, new ResponseScaling(new float[3], new float[] {1, 2, 3}).deviations());
        for (float d : new ResponseScaling(new float[3], 2).deviations()) assertTrue(Float.isNaN(d), "one of all");
    }

    @Test
    void verticesInAnotherUnitAreTold() {
        int[] images = {3, 5, 8, 9};
        for (double factor : new double[] {10, 1e6, 1e-6}) {
            List<String> said = new ArrayList<>();
            TrainingData data = new Changed(TOY, (i, r, at) -> {
                for (int v = 0; v < 2; v++) r.putFloat(at + 4 * v, (float) (r.getFloat(at + 4 * v) * factor));
            });
            StandardisedResponses.scaling(data, images, false, said::add);
            assertEquals(factor == 10 ? 0 : 1, said.size(), factor + ": " + said);
            if (factor != 10)
                assertTrue(
                        said.get(0)
                                .contains("responses of 2 of " + VERTICES
                                        + " vertices vary more than 1000 times as much as"),
                        said.get(0));
        }
    }

    @Test
    void aCheckpointWithADamagedScalingIsRefused(@TempDir Path dir) {
        ModelConfig.Subject subject = new ModelConfig.Subject("subj01", 1, 1);
        Path file = dir.resolve("c.safetensors");
        ResponseScaling good = new ResponseScaling(new float[] {1, 2}, 4);
        SafeTensors.Writer w = new SafeTensors.Writer(file);
        good.add(w, subject);
        w.commit();
        try (SafeTensors t = SafeTensors.open(file)) {
            assertEquals(good, ResponseScaling.of(t, subject));
            assertEquals(ResponseScaling.identity(2), ResponseScaling.of(t, new ModelConfig.Subject("", 1, 1)));
            assertNotEquals(good, ResponseScaling.identity(2));
            assertEquals(
                    new ResponseScaling(new float[] {2, 3}, 3),
                    ResponseScaling.mean(List.of(good, new ResponseScaling(new float[] {3, 4}, 2))));
            assertTrue(assertThrows(
                            InputException.class, () -> ResponseScaling.of(t, new ModelConfig.Subject("subj01", 1, 2)))
                    .getMessage()
                    .contains("the model needs 3"));
        }
        SafeTensors.Writer broken = new SafeTensors.Writer(file);
        broken.add("generator.response_mean", new float[] {1, Float.NaN}, 2)
                .add("generator.response_scale", new float[] {0}, 1)
                .commit();
        try (SafeTensors t = SafeTensors.open(file)) {
            assertThrows(InputException.class, () -> ResponseScaling.of(t, new ModelConfig.Subject("", 1, 1)));
        }
    }
}
