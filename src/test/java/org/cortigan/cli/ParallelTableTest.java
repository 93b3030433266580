// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.FolderLock;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs a table's runs in processes: all together, one by one as tasks of an array job, and killed in between. */
@Tag("slow")
class ParallelTableTest {
    private static final String MODEL =
            "model: {generator: {type: cnn, image: 64, cnn: {channels: [16, 32], hidden: 16}}, discriminator: {mlp: {hidden: [8]}}}\n";

    @TempDir
    Path dir;

    /** The files of runs that have equal bytes however the runs were done. */
    private static Map<String, byte[]> contents(Path runs) throws Exception {
        Map<String, byte[]> all = new TreeMap<>();
        try (Stream<Path> files = Files.walk(runs)) {
            for (Path p : files.filter(Files::isRegularFile).toList()) {
                String name = p.getFileName().toString();
                // Times, the history of the starts, and what a process prints.
                if (p.toString().contains("history")
                        || name.matches("environment\\.json|events\\..*|log\\.txt|\\.lock")) continue;
                byte[] bytes = Files.readAllBytes(p);
                if (name.equals("metrics.csv"))
                    bytes = Files.readString(p).replaceAll(",[^,]*\n", "\n").getBytes(UTF_8);
                if (name.equals("result.json")) {
                    Map<String, Object> values = new TreeMap<>(Json.readObject(p));
                    values.remove("seconds_per_epoch");
                    bytes = values.toString().getBytes(UTF_8);
                }
                all.put(runs.relativize(p).toString(), bytes);
            }
        }
        return all;
    }

    private static void same(Map<String, byte[]> expected, Path runs) throws Exception {
        Map<String, byte[]> actual = contents(runs);
        assertEquals(expected.keySet(), actual.keySet());
        for (String name : expected.keySet()) assertArrayEquals(expected.get(name), actual.get(name), name);
    }

    /** Starts a command, waits until each training of "long" has a checkpoint, and returns the process. */
    private Process startedAndTraining(List<String> command, Path runs) throws Exception {
        Process p = new ProcessBuilder(
                        OwnProcess.command(Main.class.getName(), List.of("-XX:TieredStopAtLevel=1"), command))
                .redirectErrorStream(true)
                .redirectOutput(dir.resolve("parent.txt").toFile())
                .start();
        long end = System.nanoTime() + Duration.ofMinutes(1).toNanos();
        while (!Files.exists(runs.resolve("long-subj01-seed0/last.safetensors"))
                || !Files.exists(runs.resolve("long-subj01-seed1/last.safetensors"))) {
            assertTrue(p.isAlive() && System.nanoTime() < end, Files.readString(dir.resolve("parent.txt")));
            Thread.sleep(20);
        }
        return p;
    }

    private static void endSoon(List<ProcessHandle> processes) throws Exception {
        assertEquals(2, processes.size());
        for (ProcessHandle h : processes) h.onExit().get(20, TimeUnit.SECONDS);
    }

    @Test
    void runsInProcessesHaveTheResultsOfRunsInARow() throws Exception {
        Path data = dir.resolve("data"), out = dir.resolve("out of it"), runs = out.resolve("runs");
        SmallSubject.write(data, 48, 8);
        Files.writeString(
                dir.resolve("long.yaml"), MODEL + "loss: {gan_weight: 0.01}\ntrain: {epochs: 150, batch: 16}\n");
        List<String> table = new ArrayList<>(List.of("table", "-o" + out, "--data=" + data, "--seeds=0,1"));
        table.addAll(List.of("--device=cpu", "--no-report", "--recipes=" + dir.resolve("long.yaml")));
        List<String> row = TableTest.with(table, "--threads=1"), parallel = TableTest.with(row, "--parallel=2");

        // In a row.
        TableTest.Result r = TableTest.run(row);
        assertEquals(0, r.code(), r.err());
        Map<String, byte[]> expected = contents(runs);
        assertTrue(expected.size() > 30 && expected.containsKey("long-subj01-seed1/best.safetensors"));
        Files.move(out, dir.resolve("in a row"));

        // A signal stops the processes, and the parent waits for their checkpoints.
        Process p = startedAndTraining(parallel, runs);
        List<ProcessHandle> children = p.children().toList();
        p.toHandle().destroy();
        assertEquals(143, p.waitFor());
        for (ProcessHandle h : children) assertFalse(h.isAlive());
        assertTrue(Files.readString(runs.resolve("long-subj01-seed1/log.txt")).contains("stopped after step"));
        String said = Files.readString(dir.resolve("parent.txt"));
        assertTrue(said.contains("stopping 2 runs; repeat the command to continue"), said);
        assertTrue(said.contains("strongest-ridge-subj01-seed0: done in 0:0"), said);
        assertTrue(said.contains("each on 1 thread;") && said.contains("memory: the steps of 2 trainings"), said);

        // kill -9 leaves no orphans: they end with a checkpoint, too.
        p = startedAndTraining(parallel, runs);
        for (int seed = 0; seed < 2; seed++) {
            Path log = runs.resolve("long-subj01-seed" + seed + "/log.txt");
            while (p.isAlive() && !Files.readString(log).contains("resumed at step")) Thread.sleep(20);
        }
        children = p.children().toList();
        p.destroyForcibly();
        endSoon(children);

        // One run as a task of an array job does it, the other one by --parallel.
        String only = "long-subj01-seed1";
        r = TableTest.run(TableTest.with(table, "--slurm"));
        assertEquals(0, r.code(), r.err());
        ProcessBuilder task =
                new ProcessBuilder("bash", out.resolve("slurm/rows.sbatch").toString());
        task.environment().put("SLURM_ARRAY_TASK_ID", "3");
        Process array = task.redirectErrorStream(true).start();
        said = new String(array.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, array.waitFor(), said);
        assertTrue(said.startsWith(only + " on ") && said.contains(only + ": resumed at step"), said);
        assertTrue(Files.exists(runs.resolve(only).resolve("result.json")));
        r = TableTest.run(TableTest.with(table, "--assemble"));
        assertEquals(1, r.code(), r.err());
        assertTrue(r.out().contains("seed 0: not run yet"), r.out());
        r = TableTest.run(parallel);
        assertEquals(0, r.code(), r.err());
        assertTrue(r.err().contains("1 run, 1 at once") && r.err().contains("done in"), r.err());
        same(expected, runs);
        array = new ProcessBuilder("bash", out.resolve("slurm/table.sbatch").toString())
                .redirectErrorStream(true)
                .start();
        said = new String(array.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, array.waitFor(), said);
        assertTrue(said.contains("| long | ") && said.contains("written to " + out.resolve("table.md")), said);
    }

    @Test
    void aRunThatFailsIsNamedAndTriedAgain() throws Exception {
        Path data = dir.resolve("data"), out = dir.resolve("out"), runs = out.resolve("runs");
        SmallSubject.write(data, 48, 8);
        Files.writeString(dir.resolve("good.yaml"), MODEL + "train: {epochs: 1, batch: 16}\n");
        // The trainer refuses this, not the recipe's parser.
        Files.writeString(
                dir.resolve("unfit.yaml"), MODEL + "train: {epochs: 1, batch: 16, initial_readout: fitted}\n");
        List<String> table = new ArrayList<>(List.of("table", "-o" + out, "--data=" + data, "--seeds=0"));
        table.addAll(List.of("--device=cpu", "--threads=1", "--no-report"));
        table.add("--recipes=" + dir.resolve("unfit.yaml") + "," + dir.resolve("good.yaml"));
        TableTest.Result r;
        try (FolderLock busy = FolderLock.take(runs.resolve("ridge-on-pixels-subj01-seed0"), getClass(), s -> {})) {
            r = TableTest.run(TableTest.with(table, "--parallel=2"));
        }
        assertEquals(1, r.code(), r.err());
        for (String part : new String[] {
            "good-subj01-seed0: done in",
            "unfit-subj01-seed0 failed after",
            "fitted needs a dense readout",
            "the last lines of " + runs.resolve("unfit-subj01-seed0/log.txt"),
            "ridge-on-pixels-subj01-seed0 failed after",
            "its process ended with exit code 1: ridge-on-pixels-subj01-seed0 failed: ",
            "is in use by process " + ProcessHandle.current().pid()
        }) assertTrue(r.err().contains(part), part + "\n" + r.err());
        assertTrue(r.out().contains("seed 0: failed: "), r.out());
        assertFalse(Files.exists(runs.resolve("ridge-on-pixels-subj01-seed0/failure.txt")));
        String failure = Files.readString(runs.resolve("unfit-subj01-seed0/failure.txt"));
        assertTrue(failure.contains("fitted needs a dense readout"), failure);

        // Another process tells the failure; a second call does what is left, and forgets it when the run is good.
        r = TableTest.run(TableTest.with(table, "--assemble"));
        assertEquals(1, r.code(), r.err());
        assertTrue(r.out().contains("fitted needs a dense readout"), r.out());
        Files.writeString(dir.resolve("unfit.yaml"), MODEL + "train: {epochs: 1, batch: 16}\n");
        r = TableTest.run(TableTest.with(table, "--only=unfit-subj01-seed0"));
        assertEquals(0, r.code(), r.err());
        r = TableTest.run(TableTest.with(table, "--parallel=2"));
        assertEquals(0, r.code(), r.err());
        assertTrue(r.err().contains("1 run, 1 at once"), r.err());
        assertFalse(Files.exists(runs.resolve("unfit-subj01-seed0/failure.txt")));
        r = TableTest.run(TableTest.with(table, "--assemble"));
        assertEquals(0, r.code(), r.err());
    }
}
