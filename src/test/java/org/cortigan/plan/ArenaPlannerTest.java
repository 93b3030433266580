// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class ArenaPlannerTest {
    @Test
    void buffersAliveTogetherNeverOverlapAndOffsetsAreAligned() {
        SplittableRandom r = new SplittableRandom(11);
        for (int trial = 0; trial < 200; trial++) {
            List<ArenaPlanner.Life> lives = new ArrayList<>();
            int n = 1 + r.nextInt(60);
            for (int i = 0; i < n; i++) {
                int first = r.nextInt(50);
                lives.add(new ArenaPlanner.Life(1 + r.nextInt(100_000), first, first + r.nextInt(20)));
            }
            ArenaPlanner.Layout l = ArenaPlanner.layout(lives, 256);
            assertTrue(l.bytes() >= l.lowerBound(), "an arena below its lower bound");
            for (int i = 0; i < n; i++) {
                assertEquals(0, l.offsets()[i] % 256);
                assertTrue(l.offsets()[i] + lives.get(i).bytes() <= l.bytes());
                for (int j = 0; j < i; j++)
                    if (lives.get(i).meets(lives.get(j)))
                        assertFalse(
                                l.offsets()[i] < l.offsets()[j] + lives.get(j).bytes()
                                        && l.offsets()[j]
                                                < l.offsets()[i] + lives.get(i).bytes(),
                                "overlap in trial " + trial);
            }
        }
    }

    @Test
    void aChainNeedsTwoBuffers() {
        List<ArenaPlanner.Life> lives = new ArrayList<>();
        for (int i = 0; i < 10; i++) lives.add(new ArenaPlanner.Life(1024, i, i + 1));
        assertEquals(2048, ArenaPlanner.layout(lives, 256).bytes());
    }
}
