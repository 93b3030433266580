// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class MetricTest {
    private static VertexStatistics statistics(NoiseCeiling ceiling, Significance significance) {
        return new VertexStatistics(
                new double[] {0.5, -0.1, 0.2},
                new double[] {0.25, -3, 0.05},
                new double[] {0.2, -6, 0.1},
                ceiling,
                significance,
                null);
    }

    @Test
    void keysAreDistinctAndHeadingsFitTheirColumns() {
        Set<String> keys = new HashSet<>();
        for (Metric m : Metric.values()) {
            assertTrue(keys.add(m.key()), m.key());
            assertTrue(m.heading().length() <= m.width(), m.heading());
        }
    }

    @Test
    void figuresMatchHandCalculation() {
        NoiseCeiling ceiling = NoiseCeiling.of("test", new float[] {0.25f, 0.25f, 1}, NoiseCeiling.Unit.FRACTION);
        VertexStatistics s = statistics(ceiling, Significance.of(new double[] {0.01, 0.9, 0.04}, 99));
        assertEquals(0.2, Metric.MEAN_R.of(s), 1e-12);
        assertEquals(0.2, Metric.MEDIAN_R.of(s), 1e-12);
        assertEquals(0.1, Metric.MEAN_R_SQUARED.of(s), 1e-12);
        assertEquals(2.0 / 3, Metric.BOUND.of(s), 1e-12);
        // 0.25 / 0.25 -> 100, negative -> 0, 0.04 / 1 -> 4
        assertEquals(104.0 / 3, Metric.SCORE.of(s), 1e-9);
        assertEquals(-0.9, Metric.MEAN_EXPLAINED_VARIANCE.of(s), 1e-12);
        assertEquals(0.05, Metric.MEDIAN_EXPLAINED_VARIANCE.of(s), 1e-12);
        assertEquals(-1.9, Metric.MEAN_R2.of(s), 1e-12);
        assertEquals(0.1, Metric.MEDIAN_R2.of(s), 1e-12);
        assertEquals(1, Metric.SIGNIFICANT.of(s), "q is 0.03, 0.06, 0.9");
        Crps crps = new Crps(new double[] {0.4, 0.5, 0.3}, new double[] {0.5, 0.5, 0.6});
        VertexStatistics sampled = new VertexStatistics(s.r(), s.explainedVariance(), s.r2(), null, null, crps);
        assertEquals(0.25, Metric.CRPS_SKILL.of(sampled), 1e-12);
        assertEquals(3.0 / 11, Metric.CRPS_SKILL.of(sampled.of(new int[] {1, 2})), 1e-12);
    }

    @Test
    void aVertexWithoutNoiseCeilingIsLeftOutOfBoundAndScore() {
        NoiseCeiling ceiling = NoiseCeiling.of("test", new float[] {0.25f, Float.NaN, 1}, NoiseCeiling.Unit.FRACTION);
        assertEquals(0.75, Metric.BOUND.of(statistics(ceiling, null)), 1e-12);
        assertEquals(52, Metric.SCORE.of(statistics(ceiling, null)), 1e-9);
        assertEquals(Double.NaN, Metric.BOUND.of(statistics(ceiling, null).of(new int[] {1})));
        assertEquals(Double.NaN, Metric.SCORE.of(statistics(ceiling, null).of(new int[] {1})));
    }

    @Test
    void metricsAreNanWithoutWhatTheyNeed() {
        Set<Metric> unknown = Set.of(Metric.BOUND, Metric.SCORE, Metric.SIGNIFICANT, Metric.CRPS_SKILL);
        for (Metric m : Metric.values())
            assertEquals(unknown.contains(m), Double.isNaN(m.of(statistics(null, null))), m.key());
    }
}
