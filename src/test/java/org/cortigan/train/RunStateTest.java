// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Test;

class RunStateTest {
    /** A state as version 0.1 wrote it, with skipped updates. */
    private static final String JSON = "{\"step\":7,\"steps_per_epoch\":4,\"seed\":3,\"applied_g\":6,\"missed_g\":true,"
            + "\"skipped\":2,\"skipped_in_a_row\":1,\"best\":\"0.25\",\"subjects\":[{\"step\":7,\"applied\":6,"
            + "\"applied_d\":5,\"missed\":true,\"missed_d\":true,\"regions\":99,\"sums\":[\"1.5\",\"NaN\"]}]}";

    private static RunState read(String json) {
        return RunState.of(Json.object(Json.parse(json, "test"), "test"), "test");
    }

    private static RunState fresh(long stepsPerEpoch, long seed, int losses, long regions) {
        return new RunState(stepsPerEpoch, seed, List.of(new RunState.SubjectState(losses, regions)));
    }

    @Test
    void aStateIsWrittenAsItWasRead() {
        assertEquals(JSON, Json.compact(read(JSON).toMap()));
        String begin = Json.compact(fresh(4, 3, 2, 99).toMap());
        assertFalse(begin.contains("missed"), begin);
        assertEquals(begin, Json.compact(read(begin).toMap()));
    }

    @Test
    void anotherRunIsRefused() {
        RunState saved = read(JSON);
        assertEquals(Optional.empty(), saved.otherRun(fresh(4, 3, 2, 99)));
        for (RunState other : List.of(fresh(5, 3, 2, 99), fresh(4, 2, 2, 99), fresh(4, 3, 2, 98), fresh(4, 3, 1, 99)))
            assertTrue(saved.otherRun(other).isPresent());
    }

    @Test
    void anUpdateInFlightCountsAsAppliedOnlyOnAsynchronousDevices() {
        RunState.UpdateCount updates = new RunState.UpdateCount();
        assertEquals(1, updates.next(false, false));
        assertEquals(1, updates.next(true, false));
        assertEquals(2, updates.next(true, true));
        updates.count(true);
        assertEquals(2, updates.next(true, false));
        updates.count(false);
        // A run that pauses here knows that the update was skipped; a run that goes on did not know. Both count the
        // update.
        assertEquals(3, updates.next(true, false));
        assertEquals(3, updates.next(true, true));
        assertEquals(2, updates.next(false, false));
    }

    @Test
    void skippedStepsAreCountedUntilAStepIsComplete() {
        RunState s = fresh(4, 3, 2, 99);
        s.countStep(false, false);
        s.countStep(true, false);
        assertEquals(2, s.skippedInARow());
        s.countStep(true, true);
        assertEquals(0, s.skippedInARow());
        assertEquals(2, s.takeSkippedInEpoch());
        assertEquals(0, s.takeSkippedInEpoch());
    }

    @Test
    void withoutValidationTheLastEpochIsTheBest() {
        RunState s = fresh(4, 3, 2, 99);
        assertTrue(s.updateBest(0.2));
        assertFalse(s.updateBest(0.2));
        assertEquals(1, s.epochsSinceBest());
        assertEquals(1, read(Json.compact(s.toMap())).epochsSinceBest());
        assertTrue(s.updateBest(0.3));
        assertEquals(0, s.epochsSinceBest());
        assertTrue(s.updateBest(Double.NaN));
    }
}
