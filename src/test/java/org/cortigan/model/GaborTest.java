// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.cortigan.TestModels;
import org.cortigan.config.Settings;
import org.cortigan.exec.CpuDevice;
import org.cortigan.features.GaborBank;
import org.cortigan.graph.DType;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Test;

/** The Gabor backbone beside its definition, computed pixel by pixel in double. */
class GaborTest {
    private static final int SIDE = 16, GRID = 4, ORIENTATIONS = 3, LEVELS = 2;
    private static final double SIGMA = 0.1;
    private static final String[] SMALL = {
        "image=16",
        "type=gabor",
        "gabor.levels=2",
        "gabor.grid=4",
        "gabor.orientations=3",
        "gabor.sigma=0.1",
        "gabor.hidden=0",
        "gabor.dropout=0"
    };

    private static ModelConfig model(String... more) {
        Settings s = TestModels.recipe(Stream.concat(
                                Stream.of(SMALL).map(o -> "model.generator." + o),
                                Stream.concat(Stream.of(more), Stream.of("model.discriminator.type=none")))
                        .toArray(String[]::new))
                .section("model");
        return ModelConfig.of(s, List.of(new ModelConfig.Subject("", 3, 2)));
    }

    /** Fresh parameters, with running statistics that leave the features as they are. */
    private static Model fresh(ModelConfig config) {
        Weights w = config.generatorWeights(DType.F32);
        Map<String, float[]> values = new HashMap<>();
        for (Weights.Spec s : w.specs()) values.put(s.name(), s.init().make(s.shape(), 1, s.name()));
        for (Weights.Spec s : w.states()) values.put(s.name(), s.init().make(s.shape(), 1, s.name()));
        return Model.of(config, values);
    }

    /** A plane of the photograph as the network sees it, (x / 255 - 0.5) / 0.5, averaged over cells of a side. */
    private static double[][] plane(byte[] rgb, int channel, int cell) {
        int n = SIDE / cell;
        double[][] p = new double[n][n];
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                p[y / cell][x / cell] +=
                        ((rgb[3 * (y * SIDE + x) + channel] & 255) / 255.0 - 0.5) / 0.5 / (cell * cell);
        return p;
    }

    private static double response(double[][] p, float[] filter, int radius, int y, int x) {
        double sum = 0;
        for (int i = -radius; i <= radius; i++)
            for (int j = -radius; j <= radius; j++)
                if (y + i >= 0 && y + i < p.length && x + j >= 0 && x + j < p.length)
                    sum += p[y + i][x + j] * filter[(i + radius) * (2 * radius + 1) + j + radius];
        return sum;
    }

    /** Maps [GRID, GRID, 3 + LEVELS * ORIENTATIONS], before standardisation. */
    private static double[] expected(byte[] rgb) {
        int channels = 3 + LEVELS * ORIENTATIONS;
        double[] maps = new double[GRID * GRID * channels];
        for (int c = 0; c < 3; c++) {
            double[][] p = plane(rgb, c, SIDE / GRID);
            for (int i = 0; i < GRID * GRID; i++) maps[i * channels + c] = p[i / GRID][i % GRID];
        }
        GaborBank bank = new GaborBank(0.25, ORIENTATIONS, GaborBank.WIDTH);
        for (int level = 0; level < LEVELS; level++) {
            int n = SIDE >> level, stride = n % (2 * GRID) == 0 ? 2 : 1, per = n / stride / GRID;
            double[][] grey = new double[n][n];
            for (int c = 0; c < 3; c++) {
                double[][] p = plane(rgb, c, 1 << level);
                for (int i = 0; i < n * n; i++) grey[i / n][i % n] += p[i / n][i % n] / 3;
            }
            for (int y = 0; y < n / stride; y++)
                for (int x = 0; x < n / stride; x++) {
                    double[] e = new double[ORIENTATIONS];
                    double total = 0;
                    for (int k = 0; k < ORIENTATIONS; k++) {
                        double a = response(
                                grey, bank.filter(k, GaborBank.Phase.EVEN), bank.radius(), y * stride, x * stride);
                        double b = response(
                                grey, bank.filter(k, GaborBank.Phase.ODD), bank.radius(), y * stride, x * stride);
                        e[k] = Math.sqrt(a * a + b * b + 1e-8);
                        total += e[k];
                    }
                    int cell = y / per * GRID + x / per;
                    for (int k = 0; k < ORIENTATIONS; k++)
                        maps[cell * channels + 3 + level * ORIENTATIONS + k] +=
                                e[k] / (SIGMA + total / ORIENTATIONS) / (per * per);
                }
        }
        return maps;
    }

    @Test
    void featuresAreNormalisedEnergiesAndColours() {
        byte[] rgb = new byte[SIDE * SIDE * 3];
        new Random(5).nextBytes(rgb);
        float[] got;
        try (Predictor p = fresh(model()).featureExtractor(CpuDevice.best(2), 1)) {
            got = p.predict(rgb).clone();
        }
        double[] want = expected(rgb);
        assertEquals(want.length, got.length);
        // Running mean 0 and variance 1 leave a factor of 1 / sqrt(1 + 1e-5). A response sums 507 products of magnitude
        // up to 1 with weights whose magnitudes sum to about 2, in float.
        for (int i = 0; i < want.length; i++)
            assertEquals(want[i] / Math.sqrt(1 + 1e-5), got[i], 507 * 0x1p-24 * 2 / SIGMA, "feature " + i);
    }

    @Test
    void filtersAreStateUnlessTrained() {
        String filters = "generator.levels.0.filters";
        Weights fixed = model().generatorWeights(DType.F32);
        assertTrue(fixed.states().stream().anyMatch(s -> s.name().equals(filters)));
        assertFalse(fixed.specs().stream().anyMatch(s -> s.name().equals(filters)));
        Weights trained = model("model.generator.gabor.trained=true").generatorWeights(DType.F32);
        Weights.Spec spec = trained.specs().stream()
                .filter(s -> s.name().equals(filters))
                .findFirst()
                .orElseThrow();
        Weights.Spec state = fixed.states().stream()
                .filter(s -> s.name().equals(filters))
                .findFirst()
                .orElseThrow();
        assertArrayEquals(
                state.init().make(state.shape(), 1, filters), spec.init().make(spec.shape(), 2, filters));
        assertFalse(trained.states().stream().anyMatch(s -> s.name().equals(filters)));
    }
}
