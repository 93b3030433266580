// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.cortigan.exec.NullDevice;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFolderTest {
    private static EpochResult epoch(int n) {
        List<EpochResult.Metric> metrics =
                List.of(new EpochResult.Metric("loss", EpochResult.Kind.TOTAL_LOSS, "", 1.0 / n));
        return new EpochResult(n, 9, 10L * n, metrics, 0.1 * n, Double.NaN, 5, 0);
    }

    @Test
    void aResumedRunDropsTheEpochsAfterItsCheckpoint(@TempDir Path dir) throws Exception {
        Recipe r = TrainerTest.recipe();
        try (RunFolder f = new RunFolder(dir, r, new NullDevice(), Map.of(), 0)) {
            for (int i = 1; i <= 3; i++) f.epoch(epoch(i));
        }
        Files.writeString(dir.resolve("metrics.csv"), "4,40,0.2", StandardOpenOption.APPEND); // an incomplete line
        try (RunFolder f = new RunFolder(dir, r, new NullDevice(), Map.of(), 20)) {
            f.epoch(epoch(3));
        }
        List<String> lines = Files.readAllLines(dir.resolve("metrics.csv"));
        assertEquals(
                List.of("epoch", "1", "2", "3"),
                lines.stream().map(l -> l.split(",")[0]).toList());
        assertFalse(lines.get(3).contains("NaN"));
        // recipe.yaml holds the recipe
        assertEquals(
                r.settings().values(),
                Recipe.load(dir.resolve("recipe.yaml").toString()).settings().values());
    }

    @Test
    void aFullDiskIsReportedInOneLine(@TempDir Path dir) throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/full")), "this system has no /dev/full");
        try (RunFolder f = new RunFolder(dir, TrainerTest.recipe(), new NullDevice(), Map.of(), 0)) {
            Files.createSymbolicLink(dir.resolve("metrics.csv"), Path.of("/dev/full"));
            refused(() -> f.epoch(epoch(1)), "metrics.csv: the disk is full. Free disk space");
            Files.delete(dir.resolve("metrics.csv")); // JUnit warns of a link out of its folder
        }
    }

    @Test
    void eventFilesHaveTensorFlowsFraming(@TempDir Path dir) throws Exception {
        try (EventWriter w = new EventWriter(dir)) {
            w.scalar("train/loss", 0.25, 300);
        }
        Path file;
        try (var s = Files.list(dir)) {
            file = s.findFirst().orElseThrow();
        }
        ByteBuffer b = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> records = new ArrayList<>();
        while (b.hasRemaining()) {
            byte[] head = new byte[8];
            b.get(b.position(), head);
            int n = (int) b.getLong();
            assertEquals(masked(head), b.getInt());
            byte[] data = new byte[n];
            b.get(data);
            assertEquals(masked(data), b.getInt());
            records.add(data);
        }
        assertEquals(2, records.size());
        assertTrue(new String(records.get(0), StandardCharsets.ISO_8859_1).endsWith("brain.Event:2"));
        // field 1: wall time (fixed64); 2: step 300 (varint); 5: summary { 1: value { 1: tag, 2: number } }
        ByteBuffer e = ByteBuffer.wrap(records.get(1)).order(ByteOrder.LITTLE_ENDIAN);
        assertEquals(1 << 3 | 1, e.get());
        assertEquals(System.currentTimeMillis() / 1000.0, e.getDouble(), 60);
        assertEquals(2 << 3, e.get());
        assertEquals(300, (e.get() & 0x7f) | e.get() << 7);
        assertEquals(5 << 3 | 2, e.get());
        assertEquals(e.remaining() - 1, e.get());
        assertEquals(1 << 3 | 2, e.get());
        assertEquals(e.remaining() - 1, e.get());
        assertEquals(1 << 3 | 2, e.get());
        byte[] tag = new byte[e.get()];
        e.get(tag);
        assertEquals("train/loss", new String(tag, StandardCharsets.UTF_8));
        assertEquals(2 << 3 | 5, e.get());
        assertEquals(0.25f, e.getFloat());
        assertFalse(e.hasRemaining());
    }

    private static int masked(byte[] b) {
        CRC32C c = new CRC32C();
        c.update(b);
        long x = c.getValue();
        return (int) (((x >>> 15 | x << 17) & 0xffffffffL) + 0xa282ead8L);
    }
}
