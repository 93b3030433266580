// SPDX-License-Identifier: Apache-2.0
package org.cortigan.example;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Random;
import org.cortigan.exec.CpuDevice;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.train.EpochResult;
import org.cortigan.train.Recipe;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainerListener;
import org.cortigan.train.TrainingData;

/** Shows how another JVM program trains a model on its own data and predicts with it. Uses public API only. */
public final class EmbeddingExample {
    private EmbeddingExample() {}

    /** The host program's photographs and responses; here 64 random ones of a brain with 5 + 7 vertices. */
    private static final class MyData implements TrainingData {
        @Override
        public int count() {
            return 64;
        }

        @Override
        public int leftVertices() {
            return 5;
        }

        @Override
        public int rightVertices() {
            return 7;
        }

        @Override
        public void image(int i, ByteBuffer into) {
            byte[] rgb = new byte[32 * 32 * 3];
            new Random(i).nextBytes(rgb);
            into.put(rgb);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            Random r = new Random(i);
            for (int v = 0; v < 12; v++) into.putFloat((float) r.nextGaussian());
        }
    }

    public static void main(String[] args) throws Exception {
        Path folder = args.length > 0 ? Path.of(args[0]) : Files.createTempDirectory("cortigan");
        CpuDevice cpu = CpuDevice.best(0);

        // Train a bundled recipe with some values changed.
        Recipe recipe = Recipe.load("quickstart")
                .with("model.generator.image=32")
                .with("model.generator.gabor.levels=2")
                .with("train.epochs=2")
                .with("train.batch=8");
        try (Trainer trainer = new Trainer(recipe, new MyData(), cpu, folder)) {
            trainer.addListener(new TrainerListener() {
                @Override
                public void epoch(EpochResult r) {
                    System.out.printf(
                            Locale.ROOT,
                            "epoch %d: loss %.4f, validation r %.4f%n",
                            r.epoch(),
                            r.means().get("loss"),
                            r.validationMeanR());
                }
            });
            trainer.run();
        }

        // Predict. Threads may share a Model; each thread needs its own Predictor.
        Model model = Model.load(folder.resolve("best.safetensors"));
        try (Predictor predictor = model.predictor(cpu, 1)) {
            byte[] photograph = new byte[predictor.imageBytes()];
            float[] responses = predictor.predict(photograph);
            System.out.println(responses.length + " vertices, the first "
                    + model.config().subjects().get(0).left() + " of them left");
        }
    }
}
