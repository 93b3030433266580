// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.cortigan.config.Settings;
import org.cortigan.nn.DenoisingUNet;

/**
 * How a diffusion model mixes responses with noise, x(t) = sqrt(abar(t)) x0 + sqrt(1 - abar(t)) n, what its network
 * computes from x(t), and how a sampler goes back. The noise is that of Stable Diffusion 1.x (Rombach et al. 2022):
 * 1,000 timesteps whose betas are the squares of evenly spaced numbers.
 */
public record DiffusionSchedule(Noise noise, Prediction prediction) {
    /** Timesteps, from 0, almost the responses, to 999, almost or wholly noise. */
    public static final int TIMESTEPS = DenoisingUNet.STEPS;

    /** The last timestep, from which sampling begins. */
    public static final int LAST = TIMESTEPS - 1;

    /** Numbers of a row of {@link #table}. */
    public static final int COLUMNS = 4;

    /** How much noise each timestep has. */
    public enum Noise {
        /**
         * Stable Diffusion's, rescaled so that the last timestep is noise alone: zero terminal signal-to-noise ratio
         * (Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed").
         */
        ZERO("zero terminal SNR") {
            @Override
            double[] signal() {
                double[] signal = super.signal();
                double first = signal[0], last = signal[LAST];
                for (int t = 0; t < TIMESTEPS; t++) signal[t] = (signal[t] - last) * first / (first - last);
                return signal;
            }
        },
        /** Stable Diffusion's own, whose last timestep keeps 0.47% of the responses' variance. */
        SD("the schedule of Stable Diffusion");

        private final String text;
        private final double[] signal = signal();

        Noise(String text) {
            this.text = text;
        }

        /** The square roots of abar. */
        double[] signal() {
            double[] signal = new double[TIMESTEPS];
            double from = Math.sqrt(0.00085), to = Math.sqrt(0.012), abar = 1;
            for (int t = 0; t < TIMESTEPS; t++) {
                double root = from + (to - from) * t / LAST;
                signal[t] = Math.sqrt(abar *= 1 - root * root);
            }
            return signal;
        }
    }

    /** What the network is trained to compute. */
    public enum Prediction {
        /** v = sqrt(abar) n - sqrt(1 - abar) x0 (Salimans and Ho 2022). */
        V,
        /**
         * The noise n as sqrt(1 - abar) x + F: the best linear guess for white responses, and F, the network's output.
         * So F is trained to be sqrt(abar) v, and the loss is that of the noise.
         */
        EPSILON,
        /** The responses x0. */
        SAMPLE
    }

    /**
     * A step of a deterministic sampler (DDIM, eta 0; Song et al. 2021): the next x is {@code x} times the present one
     * plus {@code output} times the network's output at {@code timestep}.
     */
    public record Step(int timestep, float x, float output) {}

    /** From the section {@code model.generator.diffusion} of a recipe. */
    static DiffusionSchedule of(Settings s) {
        DiffusionSchedule d =
                new DiffusionSchedule(s.choice("schedule", Noise.class), s.choice("prediction", Prediction.class));
        if (d.noise == Noise.ZERO && d.prediction == Prediction.EPSILON)
            throw s.wrong(
                    "prediction",
                    "epsilon does not go with schedule: zero, whose last timestep has no responses to tell from noise",
                    "Use prediction: v, or schedule: sd");
        return d;
    }

    /** The share of the responses' variance at a timestep, in double. */
    public double alphaBar(int t) {
        return noise.signal[t] * noise.signal[t];
    }

    /**
     * For each timestep (a, s, p, q): x(t) = a x0 + s n, and the network's output is trained to be p x0 + q n.
     *
     * @return [{@value #TIMESTEPS}, {@value #COLUMNS}]
     */
    public float[] table() {
        float[] all = new float[TIMESTEPS * COLUMNS];
        for (int t = 0; t < TIMESTEPS; t++) {
            double a = noise.signal[t], s = Math.sqrt(1 - a * a);
            double[] row = switch (prediction) {
                case V -> new double[] {a, s, -s, a};
                case EPSILON -> new double[] {a, s, -a * s, a * a};
                case SAMPLE -> new double[] {a, s, 1, 0};
            };
            for (int i = 0; i < COLUMNS; i++) all[COLUMNS * t + i] = (float) row[i];
        }
        return all;
    }

    /**
     * The step from timestep t to another share of the responses' variance. To 1 it is the estimate of the responses
     * themselves; at {@link #LAST} of {@link Noise#ZERO} that does not depend on x and is the responses' mean.
     *
     * @param next share of the variance after the step, in 0..1
     */
    public Step step(int t, double next) {
        double a = noise.signal[t], s = Math.sqrt(1 - a * a), to = Math.sqrt(next), toNoise = Math.sqrt(1 - next);
        double x = to * a + toNoise * s, v = toNoise * a - to * s;
        return switch (prediction) {
            case V -> new Step(t, (float) x, (float) v);
            case EPSILON -> new Step(t, (float) x, (float) (v / a));
            case SAMPLE -> new Step(t, (float) (toNoise / s), (float) (to - toNoise * a / s));
        };
    }

    /**
     * The steps from noise to responses. Timesteps are evenly spaced from {@link #LAST} down ("trailing" of Lin et al.
     * 2023), for 10 steps 999, 899, ..., 99.
     *
     * @param n number of steps, a divisor of {@value #TIMESTEPS}
     */
    public List<Step> steps(int n) {
        if (n < 1 || TIMESTEPS % n != 0) throw new IllegalArgumentException(n + " steps");
        List<Step> steps = new ArrayList<>();
        int stride = TIMESTEPS / n;
        for (int t = LAST; t >= 0; t -= stride) steps.add(step(t, t < stride ? 1 : alphaBar(t - stride)));
        return steps;
    }

    /** For messages. */
    @Override
    public String toString() {
        return prediction.name().toLowerCase(Locale.ROOT) + ", " + noise.text;
    }
}
