// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** NsdImportTest reads the files that nibabel wrote. */
class MghFileTest {
    @TempDir
    Path dir;

    /** A file of 3 x 1 x 1 values in {@code frames} frames, filled by {@code data}. */
    private static byte[] mgh(int type, int frames, byte... data) {
        ByteBuffer b = ByteBuffer.allocate(284 + data.length);
        b.putInt(1).putInt(3).putInt(1).putInt(1).putInt(frames).putInt(type);
        return b.position(284).put(data).array();
    }

    private static byte[] gzip(byte[] bytes) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (GZIPOutputStream z = new GZIPOutputStream(out)) {
            z.write(bytes);
        }
        return out.toByteArray();
    }

    private Path file(String name, byte[] bytes) throws IOException {
        return Files.write(dir.resolve(name), bytes);
    }

    private static void refused(String part, Executable read) {
        String message = assertThrows(InputException.class, read).getMessage();
        assertTrue(message.contains(part), message);
    }

    @Test
    void everyTypeIsReadCompressedOrNot() throws IOException {
        byte[][] files = {
            mgh(0, 1, (byte) 0, (byte) 255, (byte) 7),
            mgh(1, 1, ByteBuffer.allocate(12).putInt(0).putInt(255).putInt(7).array()),
            mgh(
                    3,
                    1,
                    ByteBuffer.allocate(12)
                            .putFloat(0)
                            .putFloat(255)
                            .putFloat(7)
                            .array()),
            mgh(
                    4,
                    1,
                    ByteBuffer.allocate(6)
                            .putShort((short) 0)
                            .putShort((short) 255)
                            .putShort((short) 7)
                            .array())
        };
        for (byte[] f : files) {
            assertArrayEquals(new double[] {0, 255, 7}, MghFile.readValues(file("plain.mgh", f)));
            assertArrayEquals(new double[] {0, 255, 7}, MghFile.readValues(file("packed.mgz", gzip(f))));
            try (MghFile m = MghFile.open(dir.resolve("plain.mgh"))) {
                float[] row = new float[3];
                m.readFrame(0, row);
                assertArrayEquals(new float[] {0, 255, 7}, row);
            }
        }
    }

    @Test
    void framesAreReadInAnyOrder() throws IOException {
        // Tags may follow the frames.
        try (MghFile m = MghFile.open(file("a.mgh", mgh(0, 2, new byte[] {1, 2, 3, 4, 5, 6, 99})))) {
            float[] row = new float[3];
            m.readFrame(1, row);
            assertArrayEquals(new float[] {4, 5, 6}, row);
            m.readFrame(0, row);
            assertArrayEquals(new float[] {1, 2, 3}, row);
            assertEquals(2, m.frames());
        }
        refused("2 frames", () -> MghFile.readValues(dir.resolve("a.mgh")));
    }

    @Test
    void aWrongFileIsRefusedByName() throws IOException {
        byte[] good = mgh(0, 1, (byte) 1, (byte) 2, (byte) 3), packed = gzip(good);
        for (int n : new int[] {0, 1, 10, 283, 286}) {
            Path cut = file("cut.mgh", Arrays.copyOf(good, n));
            refused(n < 4 ? "cut.mgh: is no MGH file" : "cut.mgh: has " + n + " bytes", () -> MghFile.open(cut));
            assertThrows(InputException.class, () -> MghFile.readValues(cut));
        }
        for (int n = 2; n < packed.length; n++) {
            Path cut = file("cut.mgz", Arrays.copyOf(packed, n));
            refused("cut.mgz", () -> MghFile.readValues(cut));
        }
        refused("packed.mgh: is compressed", () -> MghFile.open(file("packed.mgh", packed)));
        refused("'type'", () -> MghFile.open(file("type.mgh", mgh(2, 1, (byte) 1))));
        refused("is no MGH file but a file of zeros", () -> MghFile.open(file("npy.mgh", new byte[300])));
        for (int i = 4; i <= 16; i += 4)
            for (int size : new int[] {0, -1, Integer.MAX_VALUE}) {
                ByteBuffer b = ByteBuffer.wrap(good.clone());
                byte[] bytes = b.putInt(i, size).array();
                assertThrows(InputException.class, () -> MghFile.open(file("size.mgh", bytes)));
            }
        assertThrows(InputException.class, () -> MghFile.open(dir));
        refused(
                "a.mgh: is no MGH file but a NIfTI or Analyze volume",
                () -> MghFile.open(file("a.mgh", Arrays.copyOf(new byte[] {0x5c, 1, 0, 0}, 352))));
    }

    @Test
    void verticesMayBeFrames() throws IOException {
        ByteBuffer b = ByteBuffer.wrap(mgh(0, 1, (byte) 1, (byte) 2, (byte) 3));
        Path file = file(
                "frames.mgh",
                b.putInt(4, 1).putInt(8, 1).putInt(12, 1).putInt(16, 3).array());
        assertArrayEquals(new double[] {1, 2, 3}, MghFile.readValues(file));
        refused(
                "frames.mgh: has",
                () -> MghFile.readValues(file("frames.mgh", b.putInt(16, 4).array())));
        b.putInt(20, 3); // float: four bytes a value
        refused(
                "frames.mgh: has more values",
                () -> MghFile.readValues(
                        file("frames.mgh", b.putInt(16, Integer.MAX_VALUE).array())));
    }
}
