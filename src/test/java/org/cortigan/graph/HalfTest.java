// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class HalfTest {
    @Test
    void everyBf16RoundTrips() {
        for (int h = 0; h < 1 << 16; h++) {
            float f = Half.fromBf16((short) h);
            if (Float.isNaN(f)) {
                float again = Half.fromBf16(Half.toBf16(f));
                assertTrue(Float.isNaN(again));
            } else {
                assertEquals((short) h, Half.toBf16(f));
            }
        }
        float nan = Half.fromBf16(Half.toBf16(Float.intBitsToFloat(0x7f800001))); // only low mantissa bits set
        assertTrue(nan != nan);
    }

    @Test
    void bf16RoundsToNearestTiesToEven() {
        assertEquals(0x3f80, Half.toBf16(Float.intBitsToFloat(0x3f808000)));
        assertEquals(0x3f82, Half.toBf16(Float.intBitsToFloat(0x3f818000)));
        assertEquals(0x3f81, Half.toBf16(Float.intBitsToFloat(0x3f808001)));
        assertEquals(0x7f80, Half.toBf16(Float.MAX_VALUE));
        assertEquals((short) 0x8000, Half.toBf16(-0f));
        SplittableRandom random = new SplittableRandom(1);
        for (int i = 0; i < 100_000; i++) {
            float x = Float.intBitsToFloat(random.nextInt() & 0xbfffffff); // magnitudes below 2
            short h = Half.toBf16(x);
            double error = Math.abs((double) Half.fromBf16(h) - x);
            for (int d = -1; d <= 1; d += 2) {
                assertTrue(error <= Math.abs((double) Half.fromBf16((short) (h + d)) - x) || (h & 0x7fff) == 0);
            }
        }
    }

    @Test
    void everyF16ConvertsToItsDefinedValue() {
        for (int h = 0; h < 1 << 16; h++) {
            int exponent = h >> 10 & 31;
            int mantissa = h & 1023;
            double magnitude =
                    exponent == 0 ? mantissa * Math.pow(2, -24) : (1024 + mantissa) * Math.pow(2, exponent - 25);
            if (exponent == 31) {
                magnitude = mantissa == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
            }
            assertEquals((float) (h >= 1 << 15 ? -magnitude : magnitude), Half.fromF16((short) h));
        }
    }
}
