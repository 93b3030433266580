// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.function.BiConsumer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Half;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;
import org.junit.jupiter.api.Test;

/** The host reads back what it wrote to a tensor, on every device. */
class StorageTest {
    /** Floats that need more than one block of staging memory. */
    private static final int MANY = (int) (DeviceRuntime.STAGING / 4) + 1000;

    private static void onEveryDevice(DType t, int n, BiConsumer<Device, Storage> test) {
        for (Device each : List.of(CpuDevice.best(1), CpuDevice.doubleReference(), new SimDevice(false)))
            try (Device d = each;
                    Variables v = new Variables(d)) {
                test.accept(d, v.get("x", new Type(t, Shape.of(n))));
            }
    }

    private static float[] numbers(int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) Math.sin(i);
        return f;
    }

    private static ByteBuffer bytes(int n) {
        return ByteBuffer.allocate(n).order(ByteOrder.LITTLE_ENDIAN);
    }

    @Test
    void floatsAreWrittenAndRead() {
        float[] f = numbers(MANY);
        onEveryDevice(DType.F32, MANY, (d, x) -> {
            x.write(f);
            assertArrayEquals(f, x.toFloats(), d.name());
            assertEquals(f[MANY - 1], x.get(MANY - 1));
            x.set(MANY - 2, 0.5);
            FloatBuffer target = FloatBuffer.allocate(MANY + 3).position(2);
            x.read(target, MANY - 1);
            assertEquals(MANY + 1, target.position());
            assertEquals(f[0], target.get(2));
            assertEquals(0.5f, target.get(MANY));
            float[] last = new float[4];
            x.write(f, 0);
            x.read(last, 1, 2);
            assertArrayEquals(new float[] {0, f[0], f[1], 0}, last);
            x.fill(3);
            assertEquals(3, x.toDoubles()[MANY - 1]);
            assertEquals((long) MANY * d.elementBytes(DType.F32), x.sizeBytes());
            assertEquals(x.sizeBytes(), x.snapshot().remaining());
        });
    }

    @Test
    void floatsAreRoundedToBf16() {
        float[] f = numbers(1000);
        onEveryDevice(DType.BF16, f.length, (d, x) -> {
            x.write(f);
            float[] got = x.toFloats();
            for (int i = 0; i < f.length; i++)
                assertEquals(Half.fromBf16(Half.toBf16(f[i])), got[i], d.name() + " element " + i);
            ByteBuffer raw = bytes(2 * f.length);
            for (int i = 0; i < f.length; i++) raw.putShort(2 * i, Half.toBf16(-f[i]));
            x.write(raw);
            assertEquals(-got[7], x.get(7), d.name());
        });
    }

    @Test
    void integersAreWrittenAndRead() {
        onEveryDevice(DType.I32, 3, (d, x) -> {
            x.write(new int[] {1, -2, 3});
            assertArrayEquals(new double[] {1, -2, 3}, x.toDoubles(), d.name());
            assertThrows(IllegalArgumentException.class, () -> x.write(new float[3]));
            assertThrows(IllegalArgumentException.class, () -> x.write(new int[2]));
        });
        onEveryDevice(DType.U8, 3, (d, x) -> {
            x.write(ByteBuffer.wrap(new byte[] {1, 2, (byte) 255}));
            assertArrayEquals(new double[] {1, 2, 255}, x.toDoubles(), d.name());
            assertThrows(IllegalArgumentException.class, () -> x.write(new int[3]));
        });
    }

    @Test
    void theReferenceDeviceKeepsDoubles() {
        Device d = CpuDevice.doubleReference();
        try (Variables v = new Variables(d)) {
            Storage x = v.get("x", new Type(DType.F32, Shape.of(2)));
            x.set(1, 0.1);
            assertEquals(0.1, x.toDoubles()[1]);
        }
    }

    @Test
    void rawBytesAreWrittenWholeOrInParts() {
        float[] f = numbers(MANY);
        ByteBuffer all = bytes(4 * MANY), part = bytes(8).putFloat(0, 5).putFloat(4, 6);
        all.asFloatBuffer().put(f);
        onEveryDevice(DType.F32, MANY, (d, x) -> {
            x.write(all);
            assertEquals(0, all.position());
            assertEquals(f[MANY - 1], x.get(MANY - 1), d.name());
            assertThrows(IllegalArgumentException.class, () -> x.write(part));
            assertThrows(IllegalArgumentException.class, () -> x.write(part, x.sizeBytes() - 4));
            if (d.reference()) {
                assertThrows(IllegalArgumentException.class, () -> x.write(part, 0));
                return;
            }
            x.write(part, 4L * (MANY - 2));
            assertEquals(5, x.get(MANY - 2), d.name());
            assertEquals(6, x.get(MANY - 1), d.name());
            assertEquals(f[MANY - 3], x.get(MANY - 3), d.name());
        });
    }

    @Test
    void aTileIsRepeatedToTheEndOfTheTensor() {
        ByteBuffer tile = bytes(12).putFloat(0, 1).putFloat(4, 2).putFloat(8, 3);
        onEveryDevice(DType.F32, 8, (d, x) -> {
            if (d.reference()) {
                assertThrows(IllegalArgumentException.class, () -> x.writeTiled(tile));
                return;
            }
            x.writeTiled(tile);
            assertArrayEquals(new float[] {1, 2, 3, 1, 2, 3, 1, 2}, x.toFloats(), d.name());
            assertEquals(12, tile.remaining());
        });
    }

    @Test
    void inputBuffersShareTheTensorsMemoryWherePossible() {
        onEveryDevice(DType.F32, 2, (d, x) -> {
            long blocks = Memory.live();
            try (InputBuffer in = x.inputBuffer()) {
                boolean direct = !d.reference() && !d.runtime().hasOwnMemory();
                assertEquals(direct ? 0 : 1, Memory.live() - blocks, d.name());
                in.contents().putFloat(0, 1).putFloat(4, 2);
                in.send();
                assertArrayEquals(new float[] {1, 2}, x.toFloats(), d.name());
            }
        });
    }
}
