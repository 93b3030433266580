// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ranks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.exec.Ranks;
import org.junit.jupiter.api.Test;

class LaunchedTest {
    @Test
    void mpirunAndSrunWithPmixMakeRanks() {
        assertTrue(Launched.isRank(Map.of("OMPI_COMM_WORLD_SIZE", "2", "PMIX_RANK", "0")));
        assertTrue(Launched.isRank(Map.of("PMIX_RANK", "3", "SLURM_STEP_NUM_TASKS", "4")));
    }

    /** A task of an array job, a batch script, and a single rank. */
    @Test
    void aTaskOfItsOwnIsNoRank() {
        assertFalse(Launched.isRank(Map.of()));
        assertFalse(Launched.isRank(Map.of("SLURM_NTASKS", "4", "SLURM_PROCID", "0")));
        assertFalse(Launched.isRank(Map.of("SLURM_STEP_NUM_TASKS", "1", "PMIX_RANK", "0")));
        assertFalse(Launched.isRank(Map.of("OMPI_COMM_WORLD_SIZE", "1")));
        assertFalse(Launched.isRank(Map.of("PMI_RANK", "0", "PMI_SIZE", "1", "SLURM_STEP_NUM_TASKS", "1")));
    }

    @Test
    void tasksThatWouldTrainSideBySideAreRefused() {
        for (Map<String, String> environment :
                List.of(Map.of("SLURM_STEP_NUM_TASKS", "4"), Map.of("PMI_RANK", "0", "PMI_SIZE", "2"))) {
            String refused = assertThrows(InputException.class, () -> Launched.isRank(environment))
                    .getMessage();
            assertTrue(refused.contains("each would train on its own"), refused);
            assertTrue(refused.contains("srun --mpi=pmix"), refused);
        }
    }

    @Test
    void oneRankTakesAllProcessors() {
        assertEquals(Runtime.getRuntime().availableProcessors(), Launched.threads(Ranks.alone()));
    }
}
