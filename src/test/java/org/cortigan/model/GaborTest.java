// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.config.Settings;
import org.cortigan.exec.CpuDevice;
import org.cortigan.features.GaborBank;
import org.cortigan.graph.DType;
import org.cortigan.graph.Shape;
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
        "gabor.grids=[2, 4]",
        "gabor.orientations=3",
        "gabor.sigma=0.1",
        "gabor.hidden=[]",
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

    /** Fresh parameters, whose statistics leave the features as they are. */
    private static Model fresh(ModelConfig config) {
        Weights w = config.generatorWeights(DType.F32);
        Map<String, float[]> values = new HashMap<>();
        for (Weights.Spec s : w.specs()) values.put(s.name(), s.init().make(s.shape(), 1, s.name()));
        for (Weights.Spec s : w.states()) values.put(s.name(), s.init().make(s.shape(), 1, s.name()));
        return Model.of(config, values::get);
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
                    for (int k = 0; k < ORIENTATIONS; k++) {
                        double a = response(
                                grey, bank.filter(k, GaborBank.Phase.EVEN), bank.radius(), y * stride, x * stride);
                        double b = response(
                                grey, bank.filter(k, GaborBank.Phase.ODD), bank.radius(), y * stride, x * stride);
                        e[k] = Math.sqrt(a * a + b * b + 1e-8);
                    }
                    int cell = y / per * GRID + x / per;
                    for (int k = 0; k < ORIENTATIONS; k++)
                        maps[cell * channels + 3 + level * ORIENTATIONS + k] +=
                                Math.log(1 + e[k] / SIGMA) / (per * per);
                }
        }
        return maps;
    }

    /** Means of the cells of maps [GRID, GRID, channels], of 2 x 2 of them: [GRID / 2, GRID / 2, channels]. */
    private static double[] coarse(double[] maps) {
        int channels = maps.length / (GRID * GRID);
        double[] c = new double[maps.length / 4];
        for (int i = 0; i < maps.length; i++) {
            int cell = i / channels, at = cell / GRID / 2 * (GRID / 2) + cell % GRID / 2;
            c[at * channels + i % channels] += maps[i] / 4;
        }
        return c;
    }

    @Test
    void featuresAreLogarithmsOfEnergiesAndColours() {
        byte[] rgb = new byte[SIDE * SIDE * 3];
        new Random(5).nextBytes(rgb);
        float[] got = features(rgb);
        double[] fine = expected(rgb);
        double[] want = DoubleStream.concat(Arrays.stream(coarse(fine)), Arrays.stream(fine))
                .toArray();
        assertEquals(want.length, got.length);
        // A response sums 507 products of magnitude up to 1 with weights whose magnitudes sum to about 2, in float. The
        // slope of the logarithm is at most 1 / SIGMA.
        for (int i = 0; i < want.length; i++) assertEquals(want[i], got[i], 507 * 0x1p-24 * 2 / SIGMA, "feature " + i);
    }

    private static float[] features(byte[] rgb, String... more) {
        try (Predictor p = fresh(model(more)).featureExtractor(CpuDevice.best(2), 1)) {
            return p.predict(rgb).clone();
        }
    }

    @Test
    void aGridWithoutHiddenUnitsIsReadItself() {
        byte[] rgb = new byte[SIDE * SIDE * 3];
        new Random(6).nextBytes(rgb);
        float[] energies = features(rgb), mixed = features(rgb, "model.generator.gabor.hidden=[5, 0]");
        int fine = GRID * GRID * (3 + LEVELS * ORIENTATIONS);
        assertEquals(5 + fine, mixed.length);
        // As large as GELUs of standard normal variables, whose deviation is 0.588.
        for (int i = 1; i <= fine; i++) {
            float e = energies[energies.length - i];
            assertEquals(0.588 * e, mixed[mixed.length - i], 0.005 * Math.abs(e), "energy " + i + " from the end");
        }
    }

    @Test
    void hiddenUnitsSeeTheirGrid() {
        Weights w = model("model.generator.gabor.hidden=[5, 7]").generatorWeights(DType.F32);
        Map<String, String> shapes = new HashMap<>();
        w.specs().forEach(s -> shapes.put(s.name(), s.shape().toString()));
        int channels = 3 + LEVELS * ORIENTATIONS;
        assertEquals(Shape.of(5, 2 * 2 * channels).toString(), shapes.get("generator.hidden.0.weight"));
        assertEquals(Shape.of(7, 4 * 4 * channels).toString(), shapes.get("generator.hidden.1.weight"));
        assertEquals(Shape.of(5, 5 + 7).toString(), shapes.get("generator.head.weight"));
    }

    @Test
    void aVitsEnergiesAreThoseOfTheDefaults() {
        Gabor standard = (Gabor) TestModels.generator("type=gabor", "image=64").backbone();
        assertEquals(standard.pyramid(), EnergyMaps.standard(64, 16));
    }

    @Test
    void gridsAndUnitsMustFit() {
        InputException e = assertThrows(InputException.class, () -> model("model.generator.gabor.grids=[3, 4]"));
        assertTrue(e.getMessage().contains("grids") && e.getMessage().contains("[3, 4]"), e.getMessage());
        e = assertThrows(InputException.class, () -> model("model.generator.gabor.hidden=[5]"));
        assertTrue(e.getMessage().contains("hidden"), e.getMessage());
        e = assertThrows(InputException.class, () -> model("model.generator.gabor.grids=[]"));
        assertTrue(e.getMessage().contains("grids"), e.getMessage());
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
