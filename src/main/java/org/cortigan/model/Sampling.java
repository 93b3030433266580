// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.jspecify.annotations.Nullable;

/**
 * How a diffusion model predicts the responses to a photograph.
 *
 * @param validation mode of the validation during training
 * @param mode mode of all other predictions
 * @param steps steps of the sampler, a divisor of {@link DiffusionSchedule#TIMESTEPS}
 * @param samples samples whose mean is the prediction
 * @param antithetic whether every second sample begins from the negative of the noise of the one before: if the
 *     responses to a photograph are Gaussian, the mean of such a pair is the conditional mean
 * @param seed of the noise, which also depends on the photograph's content and the sample's number, and on nothing else
 */
public record Sampling(Mode validation, Mode mode, int steps, int samples, boolean antithetic, long seed) {
    /** What is predicted. */
    public enum Mode {
        /**
         * One evaluation of the network at the last timestep, with the same noise for every photograph. With a zero
         * terminal signal-to-noise ratio a network trained with squared errors computes the mean of the responses to
         * the photograph there.
         */
        MEAN,
        /** The mean of samples. */
        SAMPLES
    }

    /** Stream of the random numbers (op {@code Normal}) of sampling. */
    static final int STREAM = 2;

    /** Name of the section below {@code model.generator.diffusion} of a recipe. */
    static final String SECTION = "sampling";

    /** From the section {@code model.generator.diffusion.sampling} of a recipe. */
    static Sampling of(Settings s) {
        Sampling x = new Sampling(
                s.choice("validation", Mode.class),
                s.choice("mode", Mode.class),
                s.integer("steps", 1),
                s.integer("samples", 1),
                s.flag("antithetic"),
                s.whole("seed"));
        if (!fits(x.steps)) throw s.wrong("steps", doesNotDivide(x.steps), DIVISOR);
        return x;
    }

    private static final String DIVISOR = "Choose a divisor, for example 10";

    private static boolean fits(int steps) {
        return steps >= 1 && DiffusionSchedule.TIMESTEPS % steps == 0;
    }

    private static String doesNotDivide(int steps) {
        return steps + " does not divide the " + DiffusionSchedule.TIMESTEPS + " timesteps";
    }

    /**
     * What the user of a trained model wants otherwise than its recipe says.
     *
     * @param mode null for the model's
     * @param steps null for the model's
     * @param samples numbers of samples to compare, of which the largest is drawn; empty for the model's
     * @param independent whether no samples are antithetic; false for the model's
     */
    public record Change(@Nullable Mode mode, @Nullable Integer steps, List<Integer> samples, boolean independent) {
        /** No change. */
        public static final Change NONE = new Change(null, null, List.of());

        /** @throws InputException if the values do not fit together; it names the options of the command line */
        public Change {
            samples = List.copyOf(samples);
            if (steps != null && !fits(steps)) throw new InputException("--steps", doesNotDivide(steps), DIVISOR);
            for (int k : samples)
                if (k < 1) throw new InputException("--samples " + k, "is too small", "Give at least 1");
            if (Set.copyOf(samples).size() < samples.size())
                throw new InputException("--samples " + samples, "names a number twice", "Name each once");
            if (mode == Mode.MEAN && (steps != null || !samples.isEmpty() || independent))
                throw new InputException(
                        steps != null ? "--steps" : independent ? "--independent" : "--samples",
                        "has no meaning with --mode mean, which evaluates the network once",
                        "Leave it out, or give --mode samples");
        }

        /** The same with the model's kind of samples. */
        public Change(@Nullable Mode mode, @Nullable Integer steps, List<Integer> samples) {
            this(mode, steps, samples, false);
        }

        /** Whether nothing changes. */
        public boolean isNone() {
            return equals(NONE);
        }

        /** The changed values of the section. All but the mode ask for samples. */
        Map<String, Object> values() {
            Map<String, Object> m = new LinkedHashMap<>();
            if (!isNone())
                m.put("mode", (mode == null ? Mode.SAMPLES : mode).name().toLowerCase(Locale.ROOT));
            if (steps != null) m.put("steps", steps);
            if (!samples.isEmpty()) m.put("samples", Collections.max(samples));
            if (independent) m.put("antithetic", false);
            return m;
        }
    }

    /** How predictions are made, for messages; it stands beside every correlation of a diffusion model. */
    String text(DiffusionSchedule schedule) {
        if (mode == Mode.MEAN)
            return (schedule.noise() == DiffusionSchedule.Noise.ZERO
                            ? "conditional mean (1 evaluation at t " + DiffusionSchedule.LAST + ")"
                            : "1 evaluation at t " + DiffusionSchedule.LAST + ", not the conditional mean")
                    + ", " + schedule;
        String drawn =
                samples == 1 ? "1 sample" : "mean of " + samples + (antithetic ? " antithetic" : "") + " samples";
        return drawn + ", " + steps + " DDIM " + (steps == 1 ? "step" : "steps") + ", " + schedule;
    }
}
