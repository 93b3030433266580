// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.cortigan.Mpirun;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Ranks;
import org.cortigan.io.SafeTensors;
import org.cortigan.ranks.Launched;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Ranks that Open MPI's mpirun starts. Without it the tests are skipped. */
@Tag("slow")
class DataParallelKillTest {
    private static final Recipe RECIPE =
            TrainerTest.recipe("train.epochs=40", "train.checkpoint_steps=1", "optimizer.ema=0.9");

    /** Starts or resumes the run in the folder args[0]; its first rank writes the number of each rank's process. */
    public static final class Worker {
        public static void main(String[] args) throws IOException {
            Path folder = Path.of(args[0]);
            try (Ranks ranks = Launched.ranks()) {
                if (ranks.isFirst()) RunFolder.create(folder);
                StringBuilder pids = new StringBuilder();
                for (byte[] b : ranks.gather(
                        Long.toString(ProcessHandle.current().pid()).getBytes(StandardCharsets.UTF_8)))
                    pids.append(new String(b, StandardCharsets.UTF_8)).append('\n');
                try (Device cpu = CpuDevice.best(1).in(ranks);
                        Trainer t = new Trainer(RECIPE, TrainerTest.TOY, cpu, folder)) {
                    if (Files.exists(RunFolder.last(folder))) t.resume(RunFolder.last(folder));
                    if (ranks.isFirst()) Files.writeString(Path.of(args[1]), pids);
                    t.run();
                }
                ranks.leave();
            }
        }
    }

    private static Process start(Path folder, Path pids) throws IOException {
        Files.deleteIfExists(pids);
        return Mpirun.start(2, Worker.class, folder.resolveSibling("output.txt"), folder.toString(), pids.toString());
    }

    private static long[] processes(Path pids, Process run) throws Exception {
        while (!Files.exists(pids) || Files.readAllLines(pids).size() < 2) {
            assertTrue(run.isAlive(), "the ranks ended before they began");
            Thread.sleep(5);
        }
        return Files.readAllLines(pids).stream().mapToLong(Long::parseLong).toArray();
    }

    @Test
    void ranksOfWhichOneIsKilledAgainAndAgainEndWithTheSameBits(@TempDir Path dir) throws Exception {
        assumeTrue(Mpirun.isThere(), "mpirun of Open MPI is not installed");
        Path whole = dir.resolve("whole"), killed = dir.resolve("killed"), pids = dir.resolve("pids");
        Process p = start(whole, pids);
        assertTrue(p.waitFor(2, TimeUnit.MINUTES));
        assertEquals(0, p.exitValue(), Files.readString(dir.resolve("output.txt")));
        SplittableRandom random = new SplittableRandom(11);
        int kills = 0;
        for (boolean done = false; !done; ) {
            p = start(killed, pids);
            long[] ranks = processes(pids, p);
            if (kills < 5 && !p.waitFor(20 + random.nextInt(400), TimeUnit.MILLISECONDS)) {
                int rank = kills % 2;
                ProcessHandle.of(ranks[rank]).ifPresent(ProcessHandle::destroyForcibly);
                assertTrue(p.waitFor(1, TimeUnit.MINUTES), "the other rank lives on");
                if (p.exitValue() == 0) break; // it had ended before the signal came
                String said = Files.readString(dir.resolve("output.txt"));
                assertTrue(said.contains("process rank " + rank), said);
                // The last checkpoint is whole.
                if (Files.exists(RunFolder.last(killed)))
                    SafeTensors.open(RunFolder.last(killed)).close();
                kills++;
            } else {
                assertTrue(p.waitFor(2, TimeUnit.MINUTES));
                assertEquals(0, p.exitValue(), Files.readString(dir.resolve("output.txt")));
                done = true;
            }
        }
        assertTrue(kills >= 2, "the ranks were killed only " + kills + " times");
        try (SafeTensors a = SafeTensors.open(RunFolder.last(whole));
                SafeTensors b = SafeTensors.open(RunFolder.last(killed))) {
            assertEquals(a.names(), b.names());
            for (String n : a.names()) assertArrayEquals(a.floats(n), b.floats(n), n);
        }
    }

    /** Fails on one rank after some steps. */
    public static final class Failing {
        public static void main(String[] args) {
            Ranks ranks = Launched.ranks();
            try (Device cpu = CpuDevice.best(1).in(ranks);
                    Trainer t = new Trainer(RECIPE, TrainerTest.TOY, cpu, null)) {
                t.addListener(Listeners.onStep((step, loss) -> {
                    if (step == 3 && ranks.rank() == 1) throw new IllegalStateException("its own reason");
                }));
                t.run();
            } catch (IllegalStateException e) {
                System.err.println(ranks.name() + ": " + e.getMessage());
                ranks.abort(1);
            }
        }
    }

    @Test
    void aRankThatFailsEndsTheOthers(@TempDir Path dir) throws Exception {
        assumeTrue(Mpirun.isThere(), "mpirun of Open MPI is not installed");
        Path output = dir.resolve("output.txt");
        Process p = Mpirun.start(2, Failing.class, output);
        assertTrue(p.waitFor(1, TimeUnit.MINUTES), "a rank lives on");
        assertNotEquals(0, p.exitValue());
        List<String> said = Files.readAllLines(output);
        assertTrue(said.stream().anyMatch(l -> l.matches("rank 1 of 2 on .*: its own reason")), said.toString());
    }
}
