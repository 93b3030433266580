// SPDX-License-Identifier: Apache-2.0
package org.cortigan.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.inference.Predictor;
import ai.djl.modality.cv.BufferedImageFactory;
import ai.djl.modality.cv.Image;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Rgb;
import org.cortigan.exec.CpuDevice;
import org.cortigan.model.Model;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DjlPredictorTest {
    private static final Path CHECKPOINT = Path.of("src/test/resources/checkpoints/0.1-vit-patch.safetensors");

    @Test
    void imagesOfDjlArePredictedAsTheirFiles(@TempDir Path dir) throws Exception {
        Model model = Model.load(CHECKPOINT);
        CpuDevice cpu = CpuDevice.best(1);
        List<Image> images = new ArrayList<>();
        List<float[]> wanted = new ArrayList<>();
        org.cortigan.model.Predictor own = model.predictor(cpu, 2);
        try (org.cortigan.model.Predictor other = model.predictor(cpu, 1)) {
            for (int i = 0; i < 5; i++) {
                byte[] pixels = new byte[40 * 30 * 3];
                new Random(i).nextBytes(pixels);
                Path file = dir.resolve(i + ".png");
                Images.writePng(file, new Rgb(pixels, 40, 30));
                images.add(new BufferedImageFactory().fromImage(ImageIO.read(file.toFile())));
                wanted.add(other.predict(Images.read(file).stored().square(16)));
            }
        }
        try (Predictor<Image, float[]> djl = new DjlPredictor(own)) {
            List<float[]> all = djl.batchPredict(images);
            assertEquals(5, all.size());
            for (int i = 0; i < 5; i++) assertArrayEquals(wanted.get(i), all.get(i), "image " + i);
            assertArrayEquals(wanted.get(3), djl.predict(images.get(3)));
        }
        assertThrows(IllegalStateException.class, own::outputMemory, "close closes the predictor");
    }
}
