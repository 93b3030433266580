// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.cortigan.exec.CpuDevice;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;
import org.cortigan.model.Generator;
import org.junit.jupiter.api.Test;

/** The kernels' own threads (native/cpu/threads.cpp). */
class ThreadsTest {
    /** More threads than most test machines have cores, so that they compete. */
    private static final int THREADS = 4, RUNS = 4;

    @Test
    void oneDnnRunsOnTheKernelsThreads() {
        NativeLoader.load();
        assertTrue(Native.library_versions().contains("own threads"), Native.library_versions());
    }

    @Test
    void runsThatCompeteForTheCoresGiveTheBitsOfARunAlone() throws Exception {
        Map<String, float[]> alone = train();
        long before = systemThreads();
        ExecutorService runs = Executors.newFixedThreadPool(RUNS);
        try {
            List<CompletableFuture<Map<String, float[]>>> results = new ArrayList<>();
            for (int i = 0; i < RUNS; i++) results.add(CompletableFuture.supplyAsync(ThreadsTest::train, runs));
            for (CompletableFuture<Map<String, float[]>> result : results)
                result.get(2, TimeUnit.MINUTES)
                        .forEach((name, value) -> assertArrayEquals(alone.get(name), value, name));
        } finally {
            runs.shutdown();
        }
        assertTrue(runs.awaitTermination(1, TimeUnit.MINUTES));
        // The helpers of a thread end with it. The JVM's own threads come and go.
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (systemThreads() > before + RUNS && System.nanoTime() < end) Thread.sleep(10);
        assertTrue(systemThreads() <= before + RUNS, systemThreads() + " system threads, " + before + " before");
    }

    /** Trains a small GAN; some of its regions in oneDNN have parts that wait for each other. */
    private static Map<String, float[]> train() {
        Recipe recipe = Recipe.load("vanilla-gan-tiny").with("train.epochs", 2).with("train.validation", 0);
        Generator generator = Generator.of(recipe.section("model").section("generator"));
        int images = 4 * recipe.section("train").integer("batch", 1);
        Map<String, float[]> values = new LinkedHashMap<>();
        try (CpuDevice device = CpuDevice.best(THREADS);
                Trainer trainer =
                        new Trainer(recipe, new RandomData(images, 300, 200, generator.imageBytes()), device, null)) {
            trainer.run();
            for (String name : trainer.variables()) values.put(name, trainer.variable(name));
        }
        return values;
    }

    private static long systemThreads() throws IOException {
        try (Stream<Path> threads = Files.list(Path.of("/proc/self/task"))) {
            return threads.count();
        }
    }
}
