// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class MetricTest {
    private static final double[] R = {0.5, -0.1, 0.2};

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
        assertEquals(0.2, Metric.MEAN_R.of(R, ceiling), 1e-12);
        assertEquals(0.2, Metric.MEDIAN_R.of(R, ceiling), 1e-12);
        assertEquals(0.1, Metric.MEAN_R_SQUARED.of(R, ceiling), 1e-12);
        assertEquals(2.0 / 3, Metric.BOUND.of(R, ceiling), 1e-12);
        // 0.25 / 0.25 -> 100, negative -> 0, 0.04 / 1 -> 4
        assertEquals(104.0 / 3, Metric.SCORE.of(R, ceiling), 1e-9);
    }

    @Test
    void metricsThatNeedNoiseCeilingsAreNanWithoutThem() {
        for (Metric m : Metric.values()) {
            boolean needsCeilings = m == Metric.BOUND || m == Metric.SCORE;
            assertEquals(needsCeilings, Double.isNaN(m.of(R, null)), m.key());
        }
    }
}
