// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.cortigan.model.DiffusionSchedule.LAST;
import static org.cortigan.model.DiffusionSchedule.TIMESTEPS;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.io.SafeTensors;
import org.cortigan.io.Tensors;
import org.cortigan.model.DiffusionSchedule.Noise;
import org.cortigan.model.DiffusionSchedule.Prediction;
import org.cortigan.model.DiffusionSchedule.Step;
import org.junit.jupiter.api.Test;

/** Compares schedules and sampling with diffusers. */
class DiffusionScheduleTest {
    private static final Path FILE = Path.of("src/test/resources/sd/sd_schedule.safetensors");
    private static final DiffusionSchedule V = new DiffusionSchedule(Noise.ZERO, Prediction.V),
            EPSILON = new DiffusionSchedule(Noise.SD, Prediction.EPSILON);

    @Test
    void alphasMatchDiffusers() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            double[] exact = Tensors.doubles(t, "golden.alphas_cumprod.f64");
            float[] sd = t.floats("golden.sd.alphas_cumprod"), zero = t.floats("golden.zero.alphas_cumprod");
            for (int i = 0; i < TIMESTEPS; i++) {
                assertEquals(exact[i], EPSILON.alphaBar(i), 1e-12 * exact[i], "abar of " + i);
                assertEquals(sd[i], EPSILON.alphaBar(i), 1e-6 * sd[i], "abar of " + i);
                // diffusers subtracts in float: the absolute error is that of the square roots above.
                assertEquals(Math.sqrt(zero[i]), Math.sqrt(V.alphaBar(i)), 5e-7, "root of zero's abar of " + i);
            }
            assertEquals(zero[998], V.alphaBar(998), 5e-5 * zero[998]);
            assertEquals(0, V.alphaBar(LAST));
        }
    }

    /** The trajectories of the model m(x, t) = 0.3 x + 0.2 cos t, as epsilon of SD's schedule and as v of the other. */
    @Test
    void trajectoriesMatchDiffusers() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            for (DiffusionSchedule s : new DiffusionSchedule[] {EPSILON, V})
                for (int n : new int[] {10, 20, 50}) {
                    String of = s.equals(V) ? "golden.zero." : "golden.sd.";
                    int[] timesteps = Tensors.ints(t, of + "timesteps." + n);
                    float[] begin = t.floats(of + "x." + n), want = t.floats(of + "trajectory." + n);
                    double[] x = new double[begin.length];
                    for (int k = 0; k < x.length; k++) x[k] = begin[k];
                    for (int i = 0; i < n; i++) {
                        int at = timesteps[i], next = at - TIMESTEPS / n;
                        // diffusers' last step leaves the noise of timestep 0, ours none.
                        Step step = s.step(at, s.alphaBar(Math.max(next, 0)));
                        for (int k = 0; k < x.length; k++) {
                            double m = 0.3 * x[k] + 0.2 * Math.cos(at);
                            // Our network's output is what it adds to the linear guess.
                            double f = s.equals(V) ? m : m - Math.sqrt(1 - s.alphaBar(at)) * x[k];
                            x[k] = step.x() * x[k] + step.output() * f;
                            assertEquals(want[i * x.length + k], x[k], 1e-5, of + n + " after step " + i);
                        }
                    }
                }
        }
    }

    @Test
    void stepsAreTrailingAndEndAtTheResponses() {
        try (SafeTensors t = SafeTensors.open(FILE)) {
            for (int n : new int[] {10, 20, 50}) {
                int[] got = V.steps(n).stream().mapToInt(Step::timestep).toArray();
                assertArrayEquals(Tensors.ints(t, "golden.zero.timesteps." + n), got);
            }
        }
        assertEquals(TIMESTEPS, V.steps(TIMESTEPS).size());
        // From noise alone to the responses in one step: the conditional mean, -v, whatever x is.
        assertEquals(new Step(LAST, 0, -1), V.steps(1).get(0));
        assertEquals(
                new Step(LAST, 0, 1),
                new DiffusionSchedule(Noise.ZERO, Prediction.SAMPLE).steps(1).get(0));
    }

    /** A network that is exactly right leads from any noise to the same responses, whatever it computes. */
    @Test
    void exactNetworksRecoverTheResponses() {
        double x0 = 0.7, n = -1.3;
        for (Noise noise : Noise.values())
            for (Prediction p : Prediction.values()) {
                if (noise == Noise.ZERO && p == Prediction.EPSILON) continue;
                DiffusionSchedule s = new DiffusionSchedule(noise, p);
                float[] table = s.table();
                int row = DiffusionSchedule.COLUMNS * LAST;
                double x = table[row] * x0 + table[row + 1] * n;
                for (Step step : s.steps(20)) {
                    int at = DiffusionSchedule.COLUMNS * step.timestep();
                    assertEquals(table[at] * x0 + table[at + 1] * n, x, 1e-5, s + ": x at " + step.timestep());
                    x = step.x() * x + step.output() * (table[at + 2] * x0 + table[at + 3] * n);
                }
                assertEquals(x0, x, 1e-5, s.toString());
            }
    }

    @Test
    void settings() {
        assertEquals("v, zero terminal SNR", V.toString());
        assertEquals(EPSILON, DiffusionSchedule.of(schedule("sd", "epsilon")));
        InputException e = assertThrows(InputException.class, () -> DiffusionSchedule.of(schedule("zero", "epsilon")));
        assertEquals(
                "recipe, key 'prediction': epsilon does not go with schedule: zero, whose last timestep has no"
                        + " responses to tell from noise. Use prediction: v, or schedule: sd",
                e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> V.steps(3));
    }

    private static Settings schedule(String schedule, String prediction) {
        return Settings.of("recipe", Map.of("schedule", schedule, "prediction", prediction));
    }

    @Test
    void samplingNamesWhatItDoes() {
        Sampling pair = sampling("samples", 10, 2), mean = sampling("mean", 10, 2);
        assertEquals("mean of 2 antithetic samples, 10 DDIM steps, v, zero terminal SNR", pair.text(V));
        assertEquals("conditional mean (1 evaluation at t 999), v, zero terminal SNR", mean.text(V));
        assertEquals(
                "1 evaluation at t 999, not the conditional mean, epsilon, the schedule of Stable Diffusion",
                mean.text(EPSILON));
        assertEquals(
                "1 sample, 1 DDIM step, v, zero terminal SNR",
                sampling("samples", 1, 1).text(V));
        InputException e = assertThrows(InputException.class, () -> sampling("samples", 3, 1));
        assertEquals(
                "recipe, key 'steps': 3 does not divide the 1000 timesteps. Choose a divisor, for example 10",
                e.getMessage());
    }

    @Test
    void changesOfSampling() {
        assertEquals(Map.of(), Sampling.Change.NONE.values());
        assertEquals(
                Map.of("mode", "samples", "samples", 8), new Sampling.Change(null, null, List.of(1, 8, 2)).values());
        assertEquals(Map.of("mode", "mean"), new Sampling.Change(Sampling.Mode.MEAN, null, List.of()).values());
        for (int[] bad : new int[][] {{3, 1}, {0, 1}, {-10, 1}, {10, 0}})
            assertThrows(InputException.class, () -> new Sampling.Change(null, bad[0], List.of(bad[1])));
        assertThrows(InputException.class, () -> new Sampling.Change(null, null, List.of(2, 2)));
        assertEquals(
                Map.of("mode", "samples", "antithetic", false),
                new Sampling.Change(null, null, List.of(), true).values());
        assertThrows(InputException.class, () -> new Sampling.Change(Sampling.Mode.MEAN, null, List.of(), true));
        assertThrows(InputException.class, () -> new Sampling.Change(Sampling.Mode.MEAN, 10, List.of()));
        assertThrows(InputException.class, () -> new Sampling.Change(Sampling.Mode.MEAN, null, List.of(2)));
    }

    private static Sampling sampling(String mode, int steps, int samples) {
        Map<String, Object> m = Map.of(
                "validation", "mean", "mode", mode, "steps", steps, "samples", samples, "antithetic", true, "seed", 0);
        return Sampling.of(Settings.of("recipe", m));
    }
}
