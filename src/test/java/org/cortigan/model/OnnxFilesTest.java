// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files of an exported model. */
class OnnxFilesTest {
    private static final Path CHECKPOINT = Path.of("src/test/resources/checkpoints/0.1-vit-patch.safetensors");

    private static float[] computed(Path file) throws OrtException {
        byte[] rgb = new byte[2 * 16 * 16 * 3];
        new Random(1).nextBytes(rgb);
        OrtEnvironment e = OrtEnvironment.getEnvironment();
        long[] shape = {2, 16, 16, 3};
        try (OrtSession s = e.createSession(file.toString());
                OnnxTensor x = OnnxTensor.createTensor(e, ByteBuffer.wrap(rgb), shape, OnnxJavaType.UINT8);
                OrtSession.Result y = s.run(Map.of(OnnxExport.INPUT, x))) {
            return ((float[][]) y.get(0).getValue())[1];
        }
    }

    @Test
    void weightsThatAreTooLargeLieBesideTheModel(@TempDir Path dir) throws Exception {
        Map<String, Model> models = Map.of("old", Model.load(CHECKPOINT));
        Path one = dir.resolve("one.onnx"), two = dir.resolve("two.onnx"), data = dir.resolve("two.onnx.data");
        assertEquals(List.of(one), OnnxExport.write(models, "", "test", one));
        assertEquals(List.of(two, data), OnnxExport.write(models, "", "test", two, 1 << 20));
        assertTrue(Files.size(data) > Files.size(two), Files.size(data) + " bytes of weights");
        assertArrayEquals(computed(one), computed(two));
        Files.delete(data);
        assertThrows(OrtException.class, () -> computed(two));
    }

    @Test
    void aModelIsNeverBesideOtherWeights(@TempDir Path dir) throws Exception {
        Map<String, Model> models = Map.of("old", Model.load(CHECKPOINT));
        Path file = dir.resolve("m.onnx"), data = dir.resolve("m.onnx.data");
        Files.createDirectories(data.resolve("in the way"));
        Files.writeString(file, "of another model");
        assertThrows(InputException.class, () -> OnnxExport.write(models, "", "test", file, 1 << 20));
        assertFalse(Files.exists(file));
        try (var left = Files.list(dir)) {
            assertEquals(List.of(data), left.toList());
        }
    }
}
