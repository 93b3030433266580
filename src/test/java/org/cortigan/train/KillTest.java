// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.cortigan.ChildJvm;
import org.cortigan.exec.CpuDevice;
import org.cortigan.io.SafeTensors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** kill -9 at any moment loses at most the steps since the last checkpoint and changes no bit of the result. */
@Tag("slow")
class KillTest {
    /** The recipe of the runs in a folder, whose parent has the name of the kind. */
    private static Recipe recipe(Path folder) {
        Recipe r = TrainerTest.recipe("train.epochs=60", "train.checkpoint_steps=1", "optimizer.ema=0.9");
        boolean diffusion = folder.getParent().getFileName().toString().equals("diffusion");
        return diffusion ? r.with(DiffusionTrainingTest.SMALL).with("train.epochs=12") : r;
    }

    /** Starts or resumes the run in the folder args[0]. */
    public static final class Worker {
        public static void main(String[] args) {
            Path folder = Path.of(args[0]);
            RunFolder.create(folder);
            CpuDevice cpu = CpuDevice.best(1);
            Recipe recipe = recipe(folder);
            try (Trainer t = new Trainer(recipe, TrainerTest.TOY, cpu, folder)) {
                if (Files.exists(RunFolder.last(folder))) t.resume(RunFolder.last(folder));
                try (RunFolder f = new RunFolder(folder, recipe, cpu, Map.of(), t.step())) {
                    t.addListener(f);
                    System.out.println("training");
                    t.run();
                }
            }
        }
    }

    private static Process start(Path folder) throws Exception {
        return ChildJvm.start(Worker.class, folder, "training");
    }

    @ParameterizedTest
    @ValueSource(strings = {"gan", "diffusion"})
    void aRunKilledRepeatedlyEndsWithTheSameBits(String kind, @TempDir Path dir) throws Exception {
        Path whole = dir.resolve(kind).resolve("whole"), killed = whole.resolveSibling("killed");
        Process p = start(whole);
        assertTrue(p.waitFor(2, TimeUnit.MINUTES));
        assertEquals(0, p.exitValue());
        SplittableRandom r = new SplittableRandom(5);
        int kills = 0, most = kind.equals("gan") ? 8 : 2;
        for (boolean done = false; !done; ) {
            p = start(killed);
            if (kills < most && !p.waitFor(20 + r.nextInt(250), TimeUnit.MILLISECONDS)) {
                p.destroyForcibly().waitFor();
                kills++;
            } else {
                assertTrue(p.waitFor(2, TimeUnit.MINUTES));
                assertEquals(0, p.exitValue());
                done = true;
            }
        }
        assertTrue(kills >= Math.min(3, most), "the run was killed only " + kills + " times");
        for (String name : List.of("last.safetensors", "best.safetensors"))
            try (SafeTensors a = SafeTensors.open(whole.resolve(name));
                    SafeTensors b = SafeTensors.open(killed.resolve(name))) {
                assertEquals(a.names(), b.names());
                for (String k : a.metadata().keySet())
                    assertEquals(a.metadata().get(k), b.metadata().get(k), name + " " + k);
                for (String n : a.names()) assertArrayEquals(a.floats(n), b.floats(n), name + " " + n);
            }
        assertEquals(table(whole), table(killed));
        try (var files = Files.list(killed)) {
            List<String> left = files.map(f -> f.getFileName().toString())
                    .filter(n -> !n.startsWith("events.")
                            && !n.matches("(last|best)\\.safetensors|metrics\\.csv|recipe\\.yaml|environment\\.json"
                                    + "|history|\\.lock"))
                    .collect(Collectors.toList());
            // A killed writer may leave a temporary file, which the next start deletes.
            assertEquals(List.of(), left);
        }
    }

    /** The rows of metrics.csv without the last column, the rate, which depends on the clock. */
    private static List<String> table(Path folder) throws Exception {
        return Files.readAllLines(folder.resolve("metrics.csv")).stream()
                .map(l -> l.substring(0, l.lastIndexOf(',')))
                .toList();
    }
}
