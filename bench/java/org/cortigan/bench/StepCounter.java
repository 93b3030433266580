// SPDX-License-Identifier: Apache-2.0
package org.cortigan.bench;

import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
import org.cortigan.cortex.Challenge;
import org.cortigan.exec.CpuDevice;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.train.RandomData;
import org.cortigan.train.Recipe;
import org.cortigan.train.Trainer;

/**
 * Trains or predicts without end, in as many Java threads as there are sessions, and keeps in a file how many images
 * are done and since when, in nanoseconds of the monotonic clock: two little-endian i64, which tools/busy.py reads.
 *
 * <p>usage: StepCounter {train | predict} RECIPE THREADS SESSIONS FILE
 */
final class StepCounter {
    private static final int SUBJECT = 1;

    private final MappedByteBuffer file;
    private long images;

    private StepCounter(Path path) throws IOException {
        try (FileChannel c = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            file = c.map(FileChannel.MapMode.READ_WRITE, 0, 2 * Long.BYTES);
        }
        file.order(ByteOrder.LITTLE_ENDIAN);
    }

    private synchronized void add(int batch) {
        images += batch;
        file.putLong(0, images);
        file.putLong(Long.BYTES, System.nanoTime());
    }

    public static void main(String[] args) throws IOException {
        boolean trains = args[0].equals("train");
        Recipe recipe = Recipe.load(args[1]).with("train.validation", 0);
        int threads = Integer.parseInt(args[2]), sessions = Integer.parseInt(args[3]);
        StepCounter counter = new StepCounter(Path.of(args[4]));
        int batch = batch(recipe);
        Function<CpuDevice, Runnable> session = trains ? d -> trainer(recipe, d).session()::run : predicting(recipe);
        for (int i = 0; i < sessions; i++) {
            new Thread(() -> {
                        Runnable step = session.apply(CpuDevice.best(threads));
                        while (true) {
                            step.run();
                            counter.add(batch);
                        }
                    })
                    .start();
        }
    }

    private static int batch(Recipe recipe) {
        return recipe.section("train").integer("batch", 1);
    }

    private static Trainer trainer(Recipe recipe, CpuDevice device) {
        int[] vertices = Challenge.vertices(SUBJECT);
        int bytes = Generator.of(recipe.section("model").section("generator")).imageBytes();
        Trainer trainer =
                new Trainer(recipe, new RandomData(2 * batch(recipe), vertices[0], vertices[1], bytes), device, null);
        trainer.fillInputs();
        return trainer;
    }

    private static Function<CpuDevice, Runnable> predicting(Recipe recipe) {
        Model model = model(recipe);
        return device -> model.predictor(device, batch(recipe))::run;
    }

    private static Model model(Recipe recipe) {
        try (CpuDevice device = CpuDevice.best(1);
                Trainer trainer = trainer(recipe, device)) {
            Map<String, float[]> weights = new HashMap<>();
            for (String name : trainer.variables()) weights.put(name, trainer.variable(name));
            return Model.of(trainer.config(), weights::get);
        }
    }
}
