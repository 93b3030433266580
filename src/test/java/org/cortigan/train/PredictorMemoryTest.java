// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.cortigan.example.BufferExample;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.DlPack;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.TensorMemory;
import org.cortigan.jni.Memory;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Predictions in memory that other programs share, on the CPU and on a simulated card with memory of its own. */
class PredictorMemoryTest {
    private static final int BATCH = 3, IMAGE = 16 * 16 * 3, VERTICES = 20;

    @TempDir
    static Path dir;

    private static Path checkpoint;
    private static Model model;

    @BeforeAll
    static void train() {
        checkpoint = OnnxExportTest.trained(dir, "model.generator.vit.pool=cls", Map.of("", TrainerTest.TOY), 5);
        model = Model.load(checkpoint);
    }

    private static byte[] photographs(int n) {
        byte[] rgb = new byte[n * IMAGE];
        new Random(11).nextBytes(rgb);
        return rgb;
    }

    private static float[] wanted(Device device, int n) {
        try (Predictor p = model.predictor(device, BATCH)) {
            return p.predict(photographs(n));
        }
    }

    private static float[] floats(Memory m, int n) {
        float[] f = new float[n];
        m.view(0, 4L * n).asFloatBuffer().get(f);
        return f;
    }

    /** A block that something else owns. */
    private static Memory at(TensorMemory m) {
        return Memory.of(m.address(), m.bytes(), a -> {}, true);
    }

    private static void predicts(Device device) {
        try (Predictor p = model.measured(device, BATCH, "");
                Memory rgb = Memory.allocate(BATCH * IMAGE);
                Memory responses = Memory.allocate(BATCH * VERTICES * 4)) {
            for (int n : new int[] {1, BATCH}) {
                rgb.view(0, (long) n * IMAGE).put(photographs(n));
                p.predict(rgb.address(), responses.address(), n);
                assertArrayEquals(wanted(device, n), floats(responses, n * VERTICES));
            }
            assertArrayEquals(wanted(device, 2), p.predict(photographs(2)), "measured once, not twice");
            try (Memory in = at(p.imageMemory());
                    Memory out = at(p.outputMemory())) {
                in.view(0, BATCH * IMAGE).put(photographs(BATCH));
                p.runInPlace();
                assertArrayEquals(wanted(device, BATCH), floats(out, BATCH * VERTICES));
            }
        }
    }

    @Test
    void predictionsAtAddressesAreThoseOfBuffers() {
        assertFalse(Arrays.equals(model.scalings().values().iterator().next().mean(), new float[VERTICES]));
        predicts(CpuDevice.best(2));
        try (Device card = new SimDevice(false)) {
            predicts(card);
        }
    }

    @Test
    void theCapsuleDescribesTheTensor() {
        try (Predictor p = model.measured(CpuDevice.best(1), BATCH, "")) {
            TensorMemory y = p.outputMemory();
            assertEquals(BATCH * VERTICES * 4, y.bytes());
            DlPack capsule = new DlPack(y);
            try (Memory m = Memory.of(capsule.address(), 96, a -> {}, true)) {
                ByteBuffer b = m.view(0, 96);
                assertEquals(y.address(), b.getLong());
                assertEquals(List.of(1, 0, 2), List.of(b.getInt(), b.getInt(), b.getInt()), "kDLCPU, number, ndim");
                assertEquals(List.of((byte) 2, (byte) 32), List.of(b.get(), b.get()), "kDLFloat, bits");
                assertEquals(1, b.getShort());
                assertEquals(List.of(m.address() + 64, m.address() + 80), List.of(b.getLong(), b.getLong()));
                assertEquals(List.of(0L, 0L, 0L), List.of(b.getLong(), b.getLong(), b.getLong()), "no deleter");
                assertEquals(
                        List.of(3L, 20L, 20L, 1L),
                        List.of(b.getLong(), b.getLong(), b.getLong(), b.getLong()),
                        "shape, strides");
            }
            capsule.close();
            assertThrows(IllegalStateException.class, capsule::address);
        }
        try (Device card = new SimDevice(false);
                Predictor p = model.measured(card, BATCH, "");
                DlPack capsule = new DlPack(p.imageMemory());
                Memory m = Memory.of(capsule.address(), 24, a -> {}, true)) {
            assertEquals(2, m.view(8, 4).getInt(), "kDLCUDA");
            assertEquals(1, m.view(20, 1).get(), "kDLUInt");
        }
    }

    private static void refused(String text, Class<? extends RuntimeException> kind, Runnable call) {
        String message = assertThrows(kind, call::run).getMessage();
        assertTrue(message.contains(text), message);
    }

    @Test
    void unsafeCallsAreRefused() {
        CpuDevice cpu = CpuDevice.best(1);
        Predictor p = model.measured(cpu, BATCH, "");
        long some = p.imageMemory().address();
        refused("null", IllegalArgumentException.class, () -> p.predict(0, some, 1));
        refused("1 to 3 photographs", IllegalArgumentException.class, () -> p.predict(some, some, 4));
        refused("0 photographs", IllegalArgumentException.class, () -> p.predict(some, some, 0));
        p.close();
        refused("closed", IllegalStateException.class, p::imageMemory);
        refused("closed", IllegalStateException.class, () -> p.predict(some, some, 1));
        try (Predictor learned = model.predictor(cpu, BATCH)) {
            refused("Model.measured", IllegalStateException.class, () -> learned.predict(some, some, 1));
        }
        try (Device card = new SimDevice(false);
                Predictor one = model.measured(card, 1, "")) {
            refused("768 bytes is copied", IllegalArgumentException.class, one::imageMemory);
        }
    }

    @Test
    void samplesOnACardNeedTheBytesOfPhotographs() {
        Model m = Model.load(OnnxExportTest.trained(
                        dir, String.join("|", DiffusionTrainingTest.SMALL), Map.of("", TrainerTest.TOY), 5))
                .predicting(new Sampling.Change(Sampling.Mode.SAMPLES, 2, List.of(2)), "model");
        try (Device card = new SimDevice(false);
                Predictor p = m.measured(card, BATCH, "")) {
            refused("bytes", IllegalStateException.class, p::runInPlace);
        }
        try (Predictor p = m.measured(CpuDevice.best(1), BATCH, "");
                Predictor buffers = m.predictor(CpuDevice.best(1), BATCH);
                Memory in = at(p.imageMemory());
                Memory out = at(p.outputMemory())) {
            in.view(0, BATCH * IMAGE).put(photographs(BATCH));
            p.runInPlace();
            assertArrayEquals(buffers.predict(photographs(BATCH)), floats(out, BATCH * VERTICES));
        }
    }

    @Test
    void theExampleRuns() {
        BufferExample.main(new String[] {checkpoint.toString()});
    }
}
