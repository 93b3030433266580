// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;

class NoiseCeilingTest {
    private static final NoiseCeiling.Unit FRACTION = NoiseCeiling.Unit.FRACTION, PERCENT = NoiseCeiling.Unit.PERCENT;

    private static void refused(String part, NoiseCeiling.Unit unit, float... values) {
        InputException e = assertThrows(InputException.class, () -> NoiseCeiling.of("nc.npy", values, unit));
        assertTrue(e.getMessage().contains(part) && e.getMessage().contains("nc.npy"), e.getMessage());
    }

    @Test
    void roundingErrorsAreClampedAndNanIsUnknown() {
        NoiseCeiling c = NoiseCeiling.of("nc", new float[] {-1e-9f, 1.0000001f, Float.NaN, 0.5f}, FRACTION);
        assertEquals(0, c.fraction(0));
        assertEquals(1, c.fraction(1));
        assertTrue(Double.isNaN(c.fraction(2)));
        assertEquals(1, c.unknown());
        assertEquals(1, NoiseCeiling.of("nc", new float[] {100.00001f}, PERCENT).fraction(0));
    }

    @Test
    void valuesOutsideTheRangeNameWhatTheyProbablyAre() {
        refused("cortigan ceiling --ncsnr", FRACTION, 0.2f, 1.6f);
        refused("in percent", FRACTION, 0.2f, 46);
        refused("Check the file", FRACTION, 0.2f, 1000);
        refused("Check the file", FRACTION, -0.5f, 0.5f);
        refused("Check the file", PERCENT, 50, 1000);
        refused("fractions", PERCENT, 0.5f);
        refused("no value that is a number", FRACTION, Float.NaN, Float.NaN);
        refused("outside", FRACTION, Float.POSITIVE_INFINITY);
    }

    @Test
    void ncsnrThatIsNoneIsRefused() {
        for (float[] wrong : List.of(new float[] {-1}, new float[] {46}, new float[] {Float.POSITIVE_INFINITY})) {
            InputException e = assertThrows(
                    InputException.class, () -> NoiseCeiling.fromNcsnr("n.npy", wrong, AveragedTrials.of(3), "Check"));
            assertTrue(e.getMessage().contains("no signal-to-noise ratio"), e.getMessage());
        }
        NoiseCeiling c = NoiseCeiling.fromNcsnr("n", new float[] {0, 1, Float.NaN}, AveragedTrials.of(3), "Check");
        assertEquals(0, c.fraction(0));
        assertEquals(0.75, c.fraction(1), 1e-12);
        assertEquals(1, c.unknown());
    }

    @Test
    void aVertexWithNanAmongItsTrialsIsUnknownAndAConstantOneHasCeilingZero() {
        TrialVariance v = new TrialVariance(3, 2);
        v.add(new float[] {1, Float.NaN, 5, 3, 2, 5});
        v.add(new float[] {9, 1, 5, 7, 2, 5});
        NoiseCeiling c = v.noiseCeiling(AveragedTrials.of(2));
        // Noise variance 2, means 2 and 8: variance 18, of which 1 is noise.
        assertEquals(17.0 / 18, c.fraction(0), 1e-12);
        assertTrue(Double.isNaN(c.fraction(1)));
        assertEquals(0, c.fraction(2));
    }

    @Test
    void theSummaryGivesTheDistribution() {
        NoiseCeiling c = NoiseCeiling.of("nc", new float[] {0, 0.25f, Float.NaN, 1}, FRACTION);
        assertEquals(
                "4 vertices, 1 unknown; noise ceiling 0.0000, 0.1250, 0.2500, 0.6250, 1.0000 (minimum, quartiles,"
                        + " maximum); bound of mean r 0.5000",
                c.summary());
    }
}
