// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import static org.cortigan.io.Formats.names;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SimulatedDatasetTest {
    @Test
    void aFailureLeavesNothing(@TempDir Path dir) throws Exception {
        Path broken = Files.writeString(dir.resolve("broken.png"), "no photograph");
        Path out = dir.resolve("data");
        refused(
                () -> SimulatedDataset.write(
                        new SimulatedDataset.Options(out, 1, List.of(broken), 4, 2, 32, 0), new int[] {5, 5}, s -> {}),
                "broken.png");
        assertEquals(List.of("broken.png"), names(dir));
    }
}
