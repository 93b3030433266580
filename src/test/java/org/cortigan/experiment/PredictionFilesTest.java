// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class PredictionFilesTest {
    /** At most 2^28 numbers. */
    @Test
    void theSamplesOfABatchFitMemory() {
        assertEquals(32, PredictionFiles.batch(32, 100 * 39548L));
        assertEquals(32, PredictionFiles.batch(32, 1 << 23));
        assertEquals(31, PredictionFiles.batch(32, (1 << 23) + 1));
        assertEquals(6, PredictionFiles.batch(32, 1000 * 39548L));
        assertEquals(1, PredictionFiles.batch(32, 100_000 * 39548L));
        assertEquals(2, PredictionFiles.batch(2, 1));
    }
}
