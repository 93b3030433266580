// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
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
     * @param samples null for the model's
     */
    public record Change(
            @Nullable Mode mode,
            @Nullable Integer steps,
            @Nullable Integer samples) {
        /** No change. */
        public static final Change NONE = new Change(null, null, null);

        /** @throws InputException if the values do not fit together */
        public Change {
            if (steps != null && !fits(steps)) throw new InputException("--steps", doesNotDivide(steps), DIVISOR);
            if (samples != null && samples < 1)
                throw new InputException("--samples " + samples, "is too small", "Give at least 1");
            if (mode == Mode.MEAN && (steps != null || samples != null))
                throw new InputException(
                        steps != null ? "--steps" : "--samples",
                        "has no meaning with --mode mean, which evaluates the network once",
                        "Leave it out, or give --mode samples");
        }

        /** The changed values of the section. Steps and samples ask for samples. */
        Map<String, Object> values() {
            Map<String, Object> m = new LinkedHashMap<>();
            if (mode != null || steps != null || samples != null)
                m.put("mode", (mode == null ? Mode.SAMPLES : mode).name().toLowerCase(Locale.ROOT));
            if (steps != null) m.put("steps", steps);
            if (samples != null) m.put("samples", samples);
            return m;
        }
    }

    /** The same with the mode of the validation. */
    Sampling validating() {
        return new Sampling(validation, validation, steps, samples, antithetic, seed);
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
