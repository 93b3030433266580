// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.jni.HostMemory;
import org.junit.jupiter.api.Test;

/** Checks cards and memory for runs at once; starts no process. */
class ParallelRunsTest {
    private static ParallelRuns runs(int most, String... devices) {
        return new ParallelRuns(most, 1, List.of(devices), (run, device) -> List.of("true"));
    }

    private static String refused(Runnable body) {
        return String.valueOf(assertThrows(InputException.class, body::run).getMessage());
    }

    @Test
    void eachRunHasACardOrSharesTheProcessor() {
        assertEquals("cuda:1", runs(2, "cuda:0", "cuda:1").device(1));
        assertEquals("cpu", runs(3, "cpu").device(2));
        String m = refused(() -> runs(3, "cuda:0", "cuda:1"));
        assertTrue(m.contains("--parallel 3") && m.contains("Use --parallel 2, or --device cpu"), m);
        assertTrue(refused(() -> runs(0, "cpu")).contains("below 1"));
    }

    @Test
    void theLargestTrainingsMustFitIntoTheMemoryTogether() {
        HostMemory host = new HostMemory(20, 10, 10, "/proc/meminfo");
        List<Long> needs = List.of(1L, 6L, 4L, 2L);
        List<String> said = new ArrayList<>();
        runs(2, "cpu").requireMemory(needs, host, said::add);
        assertTrue(said.get(0).startsWith("memory: the steps of 2 trainings"), said.get(0));
        String m = refused(() -> runs(3, "cpu").requireMemory(needs, host, said::add));
        assertTrue(
                m.contains("the 3 largest trainings need 12 bytes, but 10 are left") && m.contains("Use --parallel 2"),
                m);
        // A training that does not fit alone is refused by its own process, which knows the batch that fits.
        m = refused(() -> runs(9, "cpu").requireMemory(List.of(11L, 1L), host, said::add));
        assertTrue(m.contains("the 2 largest trainings") && m.contains("Use --parallel 1,"), m);
        runs(9, "cpu").requireMemory(List.of(), host, said::add);
        assertEquals(1, said.size());
    }
}
