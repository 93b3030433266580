// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import org.cortigan.config.Settings;
import org.cortigan.op.GanLoss;
import org.cortigan.op.PearsonLoss;

/**
 * The loss of the generator: the weighted sum of pixel loss, correlation loss and adversarial loss. Each weight rises
 * from 0 over the first {@code warmup} epochs.
 *
 * @param pixel kind of the pixel loss
 * @param pixelTerm weight of the pixel loss
 * @param axis axis over which Pearson's r is taken: images, as in the metric, or vertices
 * @param eps added to both sums of squares under r
 * @param correlationTerm weight of the correlation loss
 * @param gan kind of the adversarial loss
 * @param ganTerm weight of the adversarial loss
 */
public record LossConfig(
        PearsonLoss.Pixel pixel,
        Term pixelTerm,
        PearsonLoss.Axis axis,
        double eps,
        Term correlationTerm,
        GanLoss.Kind gan,
        Term ganTerm) {
    /**
     * The weight of a loss.
     *
     * @param warmup epochs over which the weight rises linearly to its value
     */
    public record Term(double weight, double warmup) {
        /** The weight at a step (0, 1, ...). */
        public double at(long step, long stepsPerEpoch) {
            double ramp = warmup * stepsPerEpoch;
            return ramp <= 0 || step >= ramp ? weight : weight * (step + 1) / (ramp + 1);
        }
    }

    /**
     * Reads the section {@code loss} of a recipe.
     *
     * @throws org.cortigan.InputException if a value is wrong or all weights are 0
     */
    public static LossConfig of(Settings s) {
        LossConfig c = new LossConfig(
                s.choice("pixel", PearsonLoss.Pixel.class),
                term(s, "pixel"),
                s.choice("correlation_axis", PearsonLoss.Axis.class),
                s.number("correlation_eps", 0),
                term(s, "correlation"),
                s.choice("gan", GanLoss.Kind.class),
                term(s, "gan"));
        if (c.pixelTerm.weight == 0 && c.correlationTerm.weight == 0 && c.ganTerm.weight == 0)
            throw s.wrong("pixel_weight", "is 0 like all other weights", "Set one of the weights above 0");
        return c;
    }

    /**
     * Refuses all but the mean squared error. A readout that denoises tells noise and responses apart, and only with
     * squared errors is its answer the mean of what is possible; correlation and discriminators would judge the noise.
     *
     * @param s the section {@code loss}, for the message
     */
    void requireSquares(Settings s) {
        String readout = "does not go with model.generator.readout: diffusion, which learns by mean squared errors";
        if (ganTerm.weight > 0) throw s.wrong("gan_weight", ganTerm.weight + " " + readout, "Set it to 0");
        if (correlationTerm.weight > 0)
            throw s.wrong("correlation_weight", correlationTerm.weight + " " + readout, "Set it to 0");
        if (pixel != PearsonLoss.Pixel.MSE) throw s.wrong("pixel", s.text("pixel") + " " + readout, "Set it to mse");
    }

    private static Term term(Settings s, String name) {
        return new Term(s.number(name + "_weight", 0), s.number(name + "_warmup", 0));
    }
}
