// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.spark.sql.SparkSession;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Comparison;
import org.cortigan.io.Json;
import org.cortigan.train.RunFolder;
import org.cortigan.train.TrainerListener;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Kills an executor (SIGKILL) while it trains. Spark starts another one, and the run goes on where it was. */
@Tag("slow")
class SparkKillTest {
    private static final int EPOCHS = 30;

    @TempDir
    static Path dir;

    private static SparkSession spark;
    private static Path data, recipe;

    @BeforeAll
    static void start() throws IOException {
        data = dir.resolve("data");
        SmallSubject.write(data, 24, 4);
        recipe = dir.resolve("a.yaml");
        Files.writeString(recipe, SparkTest.GENERATOR + "train: {epochs: " + EPOCHS + ", batch: 8, validation: 0.2}\n");
        spark = LocalCluster.start(2, 1, dir, Map.of());
    }

    @AfterAll
    static void stop() {
        LocalCluster.stop(spark);
    }

    /** The JVMs that this one has started. */
    private static List<ProcessHandle> executors() {
        return ProcessHandle.current()
                .descendants()
                .filter(p -> p.info().command().orElse("").endsWith("java"))
                .toList();
    }

    private static int epochs(Path run) {
        try {
            Path metrics = run.resolve("metrics.csv");
            return Files.exists(metrics) ? Files.readAllLines(metrics).size() - 1 : 0;
        } catch (IOException e) {
            return 0; // it is being replaced
        }
    }

    /**
     * Does the work, and kills an executor once the run has some epochs.
     *
     * @param writer whether to kill the one that writes the run's files, or the other
     */
    private static <T> T killing(Path run, boolean writer, Supplier<T> work) throws Exception {
        CompletableFuture<T> result = CompletableFuture.supplyAsync(work);
        while (epochs(run) < 3) {
            assertTrue(!result.isDone(), () -> "the work ended too early: " + result.join());
            Thread.sleep(2);
        }
        List<ProcessHandle> all = executors();
        assertEquals(2, all.size());
        String owner = Files.readString(run.resolve(".lock"));
        ProcessHandle victim = all.stream()
                .filter(p -> owner.contains(Long.toString(p.pid())) == writer)
                .findFirst()
                .orElseThrow(() -> new AssertionError(owner + " among " + all));
        assertTrue(victim.destroyForcibly());
        T value = result.get(2, TimeUnit.MINUTES);
        assertTrue(executors().stream().noneMatch(p -> p.pid() == victim.pid()));
        assertEquals(EPOCHS, epochs(run));
        assertTrue((Long) Json.readObject(run.resolve("environment.json")).get("resumed_at_step") > 0);
        return value;
    }

    @Test
    void aTableEndsWithTheFilesOfASequence() throws Exception {
        Path tasks = dir.resolve("tasks"), sequence = dir.resolve("sequence");
        List<String> log = new ArrayList<>();
        String run = "a-subj01-seed0";
        killing(
                tasks.resolve("runs").resolve(run),
                true,
                () -> new TrainTable(SparkTest.options(data, tasks, recipe), "cpu", 1).run(spark, log::add));
        assertTrue(log.stream().noneMatch(l -> l.contains("failed")), log.toString());

        try (Device cpu = CpuDevice.best(1)) {
            new Comparison(SparkTest.options(data, sequence, recipe), name -> new TrainerListener() {}, s -> {})
                    .run(cpu);
        }
        Path one = tasks.resolve("runs").resolve(run),
                other = sequence.resolve("runs").resolve(run);
        assertEquals(SparkTest.result(other), SparkTest.result(one));
        assertEquals(-1, Files.mismatch(RunFolder.last(other), RunFolder.last(one)));
    }

    @Test
    void ranksEndWithTheBitsOfAnUninterruptedRun() throws Exception {
        Path killed = dir.resolve("killed"), whole = dir.resolve("whole");
        killing(killed, false, () -> train(killed).run(spark, 2));
        train(whole).run(spark, 2);
        assertEquals(-1, Files.mismatch(RunFolder.last(whole), RunFolder.last(killed)));
    }

    private static BarrierTrain train(Path folder) {
        return new BarrierTrain(recipe.toString(), List.of(), data, List.of(1), folder, "cpu", 1);
    }
}
