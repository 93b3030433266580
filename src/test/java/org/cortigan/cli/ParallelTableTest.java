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
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.cortigan.Processes;
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

    private static String bash(Path script, int code, Map<String, String> environment) throws Exception {
        ProcessBuilder b = new ProcessBuilder("bash", script.toString()).redirectErrorStream(true);
        b.environment().putAll(environment);
        Process p = b.start();
        String said = new String(p.getInputStream().readAllBytes(), UTF_8);
        assertEquals(code, p.waitFor(), said);
        return said;
    }

    private static void copy(Path from, Path to) throws Exception {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path p : files.toList()) {
                Files.createDirectories(to.resolve(from.relativize(p)).getParent());
                Files.copy(p, to.resolve(from.relativize(p)));
            }
        }
    }

    @Test
    void runsInProcessesHaveTheResultsOfRunsInARow() throws Exception {
        Path data = dir.resolve("data"), out = dir.resolve("out of it"), runs = out.resolve("runs");
        Path rowByRow = dir.resolve("in a row");
        SmallSubject.write(data, 48, 8);
        Files.writeString(
                dir.resolve("long.yaml"), MODEL + "loss: {gan_weight: 0.01}\ntrain: {epochs: 40, batch: 16}\n");
        // The trainer refuses this, not the recipe's parser.
        Files.writeString(
                dir.resolve("unfit.yaml"), MODEL + "train: {epochs: 1, batch: 16, initial_readout: fitted}\n");
        List<String> start = List.of(
                "table", "-o" + out, "--data=" + data, "--seeds=0,1", "--device=cpu", "--threads=1", "--no-report");
        List<String> two = TableTest.with(start, "--recipes=" + dir + "/long.yaml," + dir + "/unfit.yaml");
        List<String> parallel = TableTest.with(start, "--recipes=" + dir + "/long.yaml", "--parallel=2");

        // In a row.
        TableTest.Result r = TableTest.run(two);
        assertEquals(1, r.code(), r.err());
        Map<String, byte[]> expected = contents(runs);
        assertTrue(expected.size() > 30 && expected.containsKey("long-subj01-seed1/best.safetensors"));
        Files.move(out, rowByRow);
        copy(rowByRow.resolve("runs/strongest-ridge-subj01-seed0"), runs.resolve("strongest-ridge-subj01-seed0"));
        copy(rowByRow.resolve("runs/ridge-on-pixels-subj01-seed0"), runs.resolve("ridge-on-pixels-subj01-seed0"));

        // A signal stops the processes, and the parent waits for their checkpoints.
        Process p = startedAndTraining(parallel, runs);
        List<ProcessHandle> children = p.children().toList();
        assertEquals(2, children.size());
        p.toHandle().destroy();
        assertEquals(143, p.waitFor());
        assertEquals(List.of(), children.stream().filter(Processes::runs).toList());
        assertTrue(Files.readString(runs.resolve("long-subj01-seed1/log.txt")).contains("stopped after step"));
        String said = Files.readString(dir.resolve("parent.txt"));
        assertTrue(said.contains("stopping 2 runs; repeat the command to continue"), said);
        assertTrue(said.contains("each on 1 thread;") && said.contains("memory: the steps of 2 trainings"), said);

        // kill -9 leaves no orphans: they end with a checkpoint, too.
        p = startedAndTraining(parallel, runs);
        for (int seed = 0; seed < 2; seed++) {
            Path log = runs.resolve("long-subj01-seed" + seed + "/log.txt");
            while (p.isAlive() && !Files.readString(log).contains("resumed at step")) Thread.sleep(20);
        }
        children = p.children().toList();
        p.destroyForcibly();
        assertEquals(2, children.size());
        assertEquals(List.of(), Processes.awaitEnd(children, Duration.ofSeconds(20)));

        // One run as a task of an array job, the others by --parallel, one of them busy.
        Path baseline = runs.resolve("ridge-on-pixels-subj01-seed0");
        Files.delete(baseline.resolve("result.json"));
        assertEquals(0, TableTest.run(TableTest.with(two, "--slurm")).code());
        said = bash(out.resolve("slurm/rows.sbatch"), 0, Map.of("SLURM_ARRAY_TASK_ID", "4"));
        String only = "long-subj01-seed1";
        assertTrue(said.startsWith(only + " on ") && said.contains(only + ": resumed at step"), said);
        r = TableTest.run(TableTest.with(two, "--assemble"));
        assertEquals(1, r.code(), r.err());
        assertTrue(r.out().contains("| seed 0: not run yet |"), r.out());
        try (FolderLock busy = FolderLock.take(runs.resolve("unfit-subj01-seed1"), getClass(), s -> {})) {
            r = TableTest.run(TableTest.with(two, "--parallel=2"));
        }
        assertEquals(1, r.code(), r.err());
        for (String part : new String[] {
            "4 runs, 2 at once, each on 1 thread;",
            "ridge-on-pixels-subj01-seed0: done in 0:0",
            "long-subj01-seed0: done in 0:0",
            "unfit-subj01-seed0 failed after",
            "fitted needs a dense readout",
            "the last lines of " + runs.resolve("unfit-subj01-seed0/log.txt"),
            "unfit-subj01-seed1 failed after",
            "its process ended with exit code 1: unfit-subj01-seed1 failed: ",
            "is in use by process " + ProcessHandle.current().pid()
        }) assertTrue(r.err().contains(part), part + "\n" + r.err());
        assertTrue(r.out().contains("seed 0: failed: ") && r.out().contains("seed 1: failed: its process"), r.out());
        // Only the process that has reserved the folder records a failure.
        expected.remove("unfit-subj01-seed1/failure.txt");
        same(expected, runs);

        // The job after the array tells the failure. A later trial forgets it.
        said = bash(out.resolve("slurm/table.sbatch"), 1, Map.of());
        assertTrue(said.contains("fitted needs a dense readout") && said.contains("seed 1: not run yet"), said);
        Files.writeString(dir.resolve("unfit.yaml"), MODEL + "train: {epochs: 1, batch: 16}\n");
        r = TableTest.run(TableTest.with(two, "--only=unfit-subj01-seed0"));
        assertEquals(0, r.code(), r.err());
        assertFalse(Files.exists(runs.resolve("unfit-subj01-seed0/failure.txt")));
        r = TableTest.run(TableTest.with(two, "--parallel=2"));
        assertEquals(0, r.code(), r.err());
        assertTrue(r.err().contains("1 run, 1 at once"), r.err());
        assertEquals(0, TableTest.run(TableTest.with(two, "--assemble")).code());
    }
}
