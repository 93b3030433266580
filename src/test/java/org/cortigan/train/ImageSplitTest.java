// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ImageSplitTest {
    @Test
    void everyPhotographIsInOnePartInAscendingOrder() {
        ImageSplit s = ImageSplit.of(TrainerTest.recipe(), 60);
        assertEquals(12, s.validation().length);
        for (int[] part : new int[][] {s.training(), s.validation()})
            assertArrayEquals(IntStream.of(part).sorted().toArray(), part);
        int[] all = IntStream.concat(IntStream.of(s.training()), IntStream.of(s.validation()))
                .sorted()
                .toArray();
        assertArrayEquals(IntStream.range(0, 60).toArray(), all);
    }

    @Test
    void seedAndValidationShareDecideTheSplit() {
        Recipe r = TrainerTest.recipe();
        assertTrue(ImageSplit.isSame(r, r.with("train.batch=4")));
        assertFalse(ImageSplit.isSame(r, r.with("train.seed=7")));
        assertFalse(ImageSplit.isSame(r, r.with("train.validation=0.1")));
    }

    @Test
    void anEpochHasOneStepForEachBatchOfEachSubject() {
        SubjectOrder order = new SubjectOrder(new long[] {5, 3}, 1);
        assertEquals(8, order.stepsPerEpoch());
        int[][] epochs = new int[2][];
        for (int e = 0; e < 2; e++) {
            int first = 8 * e;
            epochs[e] =
                    IntStream.range(first, first + 8).map(order::subjectOfStep).toArray();
            assertEquals(3, IntStream.of(epochs[e]).sum());
        }
        // a run that resumes in the middle asks for a later step first
        for (int i = 7; i >= 0; i--)
            assertEquals(epochs[1][i], new SubjectOrder(new long[] {5, 3}, 1).subjectOfStep(8 + i));
    }
}
