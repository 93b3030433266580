// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.cortigan.InputException;
import org.cortigan.eval.SampleAccumulator;
import org.junit.jupiter.api.Test;

class PredictionFilesTest {
    /** At most 2^28 numbers, and a quarter of the memory. */
    @Test
    void theSamplesOfABatchFitMemory() {
        long much = 1L << 32;
        assertEquals(32, PredictionFiles.batch(32, 100 * 39548L, much));
        assertEquals(32, PredictionFiles.batch(32, 1 << 23, much));
        assertEquals(31, PredictionFiles.batch(32, (1 << 23) + 1, much));
        assertEquals(6, PredictionFiles.batch(32, 1000 * 39548L, Long.MAX_VALUE));
        assertEquals(1, PredictionFiles.batch(32, 100_000 * 39548L, much));
        assertEquals(2, PredictionFiles.batch(2, 1, much));
        assertEquals(16, PredictionFiles.batch(32, 1 << 23, much / 2));
        assertEquals(15, PredictionFiles.batch(32, 1 << 23, much / 2 - 16));
        assertEquals(1, PredictionFiles.batch(32, 1 << 23, 1 << 20));
    }

    /** 32 photographs, 1024 vertices, 4 bytes: 128 KiB a sample. */
    @Test
    void anEvaluationRefusesMoreSamplesThanHalfOfTheMemoryHolds() {
        ModelEvaluator.requireMemory(scorer(64, false), 32, 16 << 20);
        InputException e =
                assertThrows(InputException.class, () -> ModelEvaluator.requireMemory(scorer(96, false), 32, 16 << 20));
        assertEquals(
                "--samples 96: the samples of 32 photographs, which the CRPS skill needs together, take 12 MiB, more"
                        + " than half of the 16 MiB that Java may take. Lower --samples",
                e.getMessage());
        ModelEvaluator.requireMemory(scorer(96, true), 32, 1); // of antithetic ones none is kept
        ModelEvaluator.requireMemory(scorer(1, false), 32, 1);
    }

    private static SampleAccumulator scorer(int samples, boolean antithetic) {
        return new SampleAccumulator(new float[1024], new int[] {samples}, antithetic);
    }
}
