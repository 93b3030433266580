// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.cortigan.InputException;
import org.cortigan.exec.NullDevice;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFolderTest {
    private static EpochResult epoch(int n) {
        List<EpochResult.Metric> metrics = List.of(
                new EpochResult.Metric("loss", EpochResult.Kind.TOTAL_LOSS, "", 1.0 / n),
                new EpochResult.Metric("d.loss.V1, \"x\"", EpochResult.Kind.ADVERSARIAL_LOSS, "", 0.5));
        return new EpochResult(n, 9, 10L * n, metrics, 0.1 * n, Double.NaN, 5, 0, "");
    }

    private static RunFolder begun(Path dir, Recipe recipe, long resumedAt, Consumer<String> log) {
        RunFolder f = new RunFolder(dir, recipe, new NullDevice(), Map.of(), resumedAt, log);
        f.begin();
        return f;
    }

    @Test
    void aResumedRunDropsTheEpochsAfterItsCheckpoint(@TempDir Path dir) throws Exception {
        Recipe r = TrainerTest.recipe();
        try (RunFolder f = begun(dir, r, 0, line -> {})) {
            for (int i = 1; i <= 3; i++) f.epoch(epoch(i));
        }
        Files.writeString(dir.resolve("metrics.csv"), "4,40,0.2", StandardOpenOption.APPEND); // an incomplete line
        try (RunFolder f = begun(dir, r, 20, line -> {})) {
            f.epoch(epoch(3));
        }
        List<String> lines = Files.readAllLines(dir.resolve("metrics.csv"));
        assertEquals(
                List.of("epoch", "1", "2", "3"),
                lines.stream().map(l -> l.split(",")[0]).toList());
        assertFalse(lines.get(3).contains("NaN"));
        List<List<String>> cells = Csv.parse(Files.readString(dir.resolve("metrics.csv")));
        assertEquals("d.loss.V1, \"x\"", cells.get(0).get(3));
        for (List<String> line : cells) assertEquals(8, line.size());
        // recipe.yaml holds the recipe
        assertEquals(
                r.settings().values(),
                Recipe.load(dir.resolve("recipe.yaml").toString()).settings().values());
    }

    @Test
    void aFullDiskIsReportedInOneLine(@TempDir Path dir) throws Exception {
        assumeTrue(Files.exists(Path.of("/dev/full")), "this system has no /dev/full");
        try (RunFolder f = begun(dir, TrainerTest.recipe(), 0, line -> {})) {
            Files.createSymbolicLink(dir.resolve("metrics.csv"), Path.of("/dev/full"));
            // The folder's own disk has space, if the system tells: in a chroot it does not.
            boolean told = AtomicFiles.freeBytes(dir) >= 0;
            refused(
                    () -> f.epoch(epoch(1)),
                    "metrics.csv: the disk " + (told ? "takes no more files or data" : "is full"));
            assertFalse(files(dir).contains("metrics.csv"), "a table without a line is left");
        }
    }

    @Test
    void filesThatAStartReplacesAreKept(@TempDir Path dir) throws Exception {
        Recipe first = TrainerTest.recipe(), other = first.with("optimizer.learning_rate", 0.5);
        List<String> said = new ArrayList<>();
        try (RunFolder f = begun(dir, first, 0, said::add)) {
            for (int i = 1; i <= 3; i++) f.epoch(epoch(i));
        }
        assertEquals(List.of(), said);
        String table = Files.readString(dir.resolve("metrics.csv")),
                yaml = Files.readString(dir.resolve("recipe.yaml"));
        Files.writeString(RunFolder.best(dir), "no checkpoint"); // taken for one of a later step
        begun(dir, first, 30, said::add).close(); // replaces no line, no recipe
        begun(dir, other, 20, said::add).close();
        begun(dir, other, 0, said::add).close();
        assertEquals(
                List.of("best.safetensors", "environment.json"), files(dir.resolve("history/1")), "an unreadable best");
        assertEquals(List.of("environment.json", "metrics.csv", "recipe.yaml"), files(dir.resolve("history/2")));
        assertEquals(table, Files.readString(dir.resolve("history/2/metrics.csv")));
        assertEquals(yaml, Files.readString(dir.resolve("history/2/recipe.yaml")));
        assertEquals(
                table.lines().limit(3).toList(),
                Files.readAllLines(dir.resolve("history/3/metrics.csv")),
                "two epochs");
        assertFalse(Files.exists(dir.resolve("metrics.csv")) || Files.exists(RunFolder.best(dir)));
        assertEquals("files of the earlier start are kept in " + dir.resolve("history/3"), said.get(2));
        assertEquals(
                List.of(0L, 30L, 20L),
                IntStream.rangeClosed(1, 3)
                        .mapToObj(n -> Json.readObject(dir.resolve("history/" + n + "/environment.json"))
                                .get("resumed_at_step"))
                        .toList());
    }

    /** A table that an editor or a spreadsheet has saved is the same table. */
    @Test
    void aTableInAnotherFormIsContinued(@TempDir Path dir) throws Exception {
        Recipe r = TrainerTest.recipe();
        Path csv = dir.resolve("metrics.csv");
        try (RunFolder f = begun(dir, r, 0, line -> {})) {
            for (int i = 1; i <= 2; i++) f.epoch(epoch(i));
        }
        String two = Files.readString(csv);
        for (String form : List.of("\ufeff" + two, two.replace("\n", "\r\n"), two + "\n\n")) {
            Files.writeString(csv, form);
            try (RunFolder f = begun(dir, r, 20, line -> {})) {
                f.epoch(epoch(3));
            }
            List<List<String>> lines = Csv.parse(Files.readString(csv));
            assertEquals(two, lines.subList(0, 3).stream().map(Csv::line).collect(Collectors.joining()));
            assertEquals(List.of("3", "30"), lines.get(3).subList(0, 2));
            for (List<String> line : lines) assertEquals(lines.get(0).size(), line.size(), line.toString());
        }
        Files.writeString(csv, two.strip()); // the last line may be cut off
        List<String> said = new ArrayList<>();
        begun(dir, r, 20, said::add).close();
        assertEquals(2, Csv.parse(Files.readString(csv)).size());
        String kept = said.get(said.size() - 1).replaceFirst(".* kept in ", "");
        assertEquals(two.strip(), Files.readString(Path.of(kept, "metrics.csv")));
        String[][] wrong = {
            {two.replace(",", ";"), "metrics.csv, line 1: does not begin with the columns epoch and step"},
            {two.replaceFirst("step", "foo"), "metrics.csv, line 1: does not begin"},
            {two.replaceFirst("\n1,10", "\n1,ten"), "metrics.csv, line 2: has no step"},
            {two + "3\n", "metrics.csv, line 4: has no step"}
        };
        for (String[] w : wrong) {
            Files.writeString(csv, w[0]);
            refused(() -> begun(dir, r, 20, line -> {}), w[1], "Move the file away");
        }
        Files.write(csv, new byte[] {(byte) 0xe9, '\n'});
        refused(() -> begun(dir, r, 20, line -> {}), "metrics.csv: is no text in UTF-8");
    }

    @Test
    void newColumnsAreAddedToATable(@TempDir Path dir) throws Exception {
        Recipe r = TrainerTest.recipe();
        try (RunFolder f = begun(dir, r, 0, line -> {})) {
            f.epoch(epoch(1));
        }
        EpochResult.Metric other = new EpochResult.Metric("other", EpochResult.Kind.TOTAL_LOSS, "", 7);
        try (RunFolder f = begun(dir, r, 10, line -> {})) {
            f.epoch(new EpochResult(2, 9, 20, List.of(other), 0.1, Double.NaN, 5, 0, ""));
            f.epoch(epoch(3));
        }
        List<List<String>> lines = Csv.parse(Files.readString(dir.resolve("metrics.csv")));
        int at = lines.get(0).indexOf("other"), loss = lines.get(0).indexOf("loss");
        assertEquals(lines.get(0).size() - 1, at);
        assertEquals(
                List.of("other", "", "7.0", ""),
                lines.stream().map(l -> l.get(at)).toList());
        assertEquals(
                List.of("loss", "1.0", "", Double.toString(1.0 / 3)),
                lines.stream().map(l -> l.get(loss)).toList());
    }

    private static List<String> files(Path folder) throws IOException {
        try (var s = Files.list(folder)) {
            return s.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void oneRunAtATimeWritesToAFolder(@TempDir Path dir) throws Exception {
        Recipe r = TrainerTest.recipe();
        try (RunFolder f = begun(dir, r, 0, line -> {})) {
            f.epoch(epoch(1));
            InputException e = assertThrows(InputException.class, () -> begun(dir, r, 0, line -> {}));
            assertTrue(e.getMessage().startsWith(dir + ": is in use by this process since "), e.getMessage());
            f.epoch(epoch(2));
        }
        assertEquals(3, Files.readAllLines(dir.resolve("metrics.csv")).size());
        begun(dir, r, 20, line -> {}).close();
    }

    @Test
    void aFolderThatVanishesIsNamed(@TempDir Path dir) throws Exception {
        Path run = dir.resolve("run");
        try (RunFolder f = begun(run, TrainerTest.recipe(), 0, line -> {})) {
            f.epoch(epoch(1));
            Files.move(run, dir.resolve("moved"));
            InputException e = assertThrows(InputException.class, () -> f.epoch(epoch(2)));
            assertEquals(
                    run.resolve("metrics.csv") + ": its folder does not exist. Create the folder " + run,
                    e.getMessage());
        }
    }

    /** The data of the records of the only event file of a folder. */
    private static List<byte[]> records(Path dir) throws IOException {
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
        return records;
    }

    /** Reads field 1 of an Event: wall time (fixed64). */
    private static ByteBuffer afterTime(byte[] event) {
        ByteBuffer e = ByteBuffer.wrap(event).order(ByteOrder.LITTLE_ENDIAN);
        assertEquals(1 << 3 | 1, e.get());
        assertEquals(System.currentTimeMillis() / 1000.0, e.getDouble(), 60);
        return e;
    }

    @Test
    void eventFilesHaveTensorFlowsFraming(@TempDir Path dir) throws Exception {
        try (EventWriter w = new EventWriter(dir)) {
            w.scalar("train/loss", 0.25, 300);
        }
        List<byte[]> records = records(dir);
        assertEquals(3, records.size());
        assertTrue(new String(records.get(0), StandardCharsets.ISO_8859_1).endsWith("brain.Event:2"));
        // 2: step 300 (varint); 5: summary { 1: value { 1: tag, 2: number } }
        ByteBuffer e = afterTime(records.get(2));
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

    @Test
    void anEventFileOfAResumedRunMakesTensorBoardForgetLaterSteps(@TempDir Path dir) throws Exception {
        new EventWriter(dir, 20).close();
        List<byte[]> records = records(dir);
        assertEquals(2, records.size());
        ByteBuffer e = afterTime(records.get(1));
        byte[] rest = new byte[e.remaining()];
        e.get(rest);
        // 2: step 21 (varint), from which on values are forgotten; 7: session log { 1: status START = 1 }
        assertArrayEquals(new byte[] {2 << 3, 21, 7 << 3 | 2, 2, 1 << 3, 1}, rest);
    }

    private static int masked(byte[] b) {
        CRC32C c = new CRC32C();
        c.update(b);
        long x = c.getValue();
        return (int) (((x >>> 15 | x << 17) & 0xffffffffL) + 0xa282ead8L);
    }
}
