// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;
import org.cortigan.InputException;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.io.ColumnMoments;
import org.cortigan.model.Generator;
import org.cortigan.nn.Weights;

/** Mean and standard deviation of channels over the training photographs of all subjects, for standardisation. */
final class FeatureStatistics {
    /** A deviation below this fraction of the largest value is rounding: the channel is constant. */
    private static final double LEAST = 1e-6;

    private final int channels;
    private final ColumnMoments moments;
    private float largest;

    private FeatureStatistics(int channels) {
        this.channels = channels;
        moments = new ColumnMoments(channels);
    }

    /**
     * Measures what a generator asks for ({@link Weights#measured}) and writes the states. A constant channel becomes
     * 0, because nothing is known about its scale. Each measured value takes one pass over the photographs.
     *
     * @param isGiven whether a state has its value already
     */
    static void measure(List<SubjectSetup> setups, Variables vars, int batch, Predicate<String> isGiven) {
        SubjectSetup one = setups.get(0);
        Weights declared = Weights.declaredBy(
                DType.F32,
                Generator.PREFIX,
                false,
                w -> features(w, one.settings().model().generator().images(w.graph(), 2), one));
        // In this order, because a value may depend on the statistics of an earlier one.
        declared.measured().forEach((prefix, value) -> {
            if (isGiven.test(prefix + Weights.SHIFT)) return;
            FeatureStatistics s = new FeatureStatistics(value.dim(-1));
            for (SubjectSetup setup : setups)
                ForwardPass.forEachBatch(
                        setup,
                        vars,
                        batch,
                        (w, images) -> {
                            features(w, images, setup);
                            return Objects.requireNonNull(w.measured().get(prefix));
                        },
                        (at, images, values) -> s.add(
                                values, images * Math.toIntExact(value.shape().elements() / value.dim(0))));
            s.write(vars, prefix);
        });
    }

    private static Value features(Weights w, Value images, SubjectSetup setup) {
        return setup.settings()
                .model()
                .generator()
                .features(w, images, setup.subject().name());
    }

    private void add(float[] values, int n) {
        for (int i = 0; i < n; i++) {
            moments.add(i % channels, values[i]);
            largest = Math.max(largest, Math.abs(values[i]));
        }
    }

    private void write(Variables vars, String prefix) {
        // An infinite or NaN value makes the largest one infinite or NaN.
        if (!Float.isFinite(largest))
            throw new InputException(
                    "features of " + prefix,
                    "are infinite or NaN for a training photograph",
                    "Choose other values for the generator, for example a larger gabor.sigma");
        float[] shift = new float[channels], scale = new float[channels];
        for (int c = 0; c < channels; c++) {
            double deviation = moments.deviation(c);
            shift[c] = (float) -moments.mean(c);
            scale[c] = deviation > LEAST * largest ? (float) (1 / deviation) : 0;
        }
        vars.find(prefix + Weights.SHIFT).write(shift);
        vars.find(prefix + Weights.SCALE).write(scale);
    }
}
