// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.golden;
import static org.cortigan.io.Formats.goldenFile;
import static org.cortigan.io.Formats.names;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpyTest {
    private static final float[] VALUES = {0.5f, -1.25f, 3, 1e-3f, 11, -14};

    @TempDir
    Path dir;

    @ParameterizedTest
    @ValueSource(strings = {"array_f4.npy", "array_v2.npy", "array_v3.npy"})
    void readsRowsOfNumpyFiles(String name) throws IOException {
        try (NpyFile f = NpyFile.open(goldenFile(dir, name)).require(NpyType.F32, 2)) {
            assertEquals(2, f.rows());
            assertEquals(3, f.rowElements());
            assertArrayEquals(new long[] {2, 3}, f.shape());
            float[] row = new float[5];
            f.readRow(1, row, 1);
            assertArrayEquals(new float[] {0, 1e-3f, 11, -14, 0}, row);
            ByteBuffer raw =
                    ByteBuffer.allocateDirect(16).order(ByteOrder.LITTLE_ENDIAN).position(4);
            f.readRow(0, raw);
            assertEquals(16, raw.position());
            assertEquals(-1.25f, raw.getFloat(8));
            assertArrayEquals(VALUES, f.toFloatArray());
            f.checkFinite("responses", "Repair it");
            assertThrows(IndexOutOfBoundsException.class, () -> f.readRow(2, row, 0));
            assertThrows(IndexOutOfBoundsException.class, () -> f.readRow(-1, row, 0));
            assertThrows(IndexOutOfBoundsException.class, () -> f.readRow(0, row, 3));
            assertThrows(IllegalArgumentException.class, () -> f.readRow(0, ByteBuffer.allocate(11)));
        }
    }

    @Test
    void readsHalfAndDouble() throws IOException {
        assertArrayEquals(
                new double[] {0.5, -1.25, 3, 1e-3, 11, -14},
                NpyFile.open(goldenFile(dir, "array_f8.npy")).toDoubleArray());
        float[] half = NpyFile.open(goldenFile(dir, "array_f2.npy")).toFloatArray();
        assertArrayEquals(new float[] {0.5f, -1.25f, 3, 0x1.064p-10f, 11, -14}, half);
    }

    @Test
    void readsScalarAndEmpty() throws IOException {
        NpyFile scalar = NpyFile.open(goldenFile(dir, "array_0d.npy"));
        assertEquals(1, scalar.rows());
        assertArrayEquals(new float[] {2.5f}, scalar.toFloatArray());
        NpyFile empty = NpyFile.open(goldenFile(dir, "array_empty.npy"));
        assertEquals(0, empty.rows());
        assertEquals(5, empty.rowElements());
        assertEquals(0, empty.toFloatArray().length);
    }

    /** Rows, bytes and single values of the same matrix in every order of bytes and axes. */
    @ParameterizedTest
    @ValueSource(strings = {"array_f4.npy", "array_fortran.npy", "array_big_endian.npy", "array_f8.npy"})
    void rowsAreReadInEveryOrder(String name) throws IOException {
        try (NpyFile f = NpyFile.open(goldenFile(dir, name)).requireRank(2)) {
            assertArrayEquals(VALUES, f.toFloatArray());
            float[] row = new float[3];
            ByteBuffer floats = ByteBuffer.allocate(12), bytes = ByteBuffer.allocate(24);
            for (int r = 0; r < 2; r++) {
                f.readRow(r, row, 0);
                f.readFloats(r, floats.clear());
                f.readRow(r, bytes.clear().order(ByteOrder.LITTLE_ENDIAN));
                assertEquals(3 * f.type().bytes(), bytes.position());
                for (int c = 0; c < 3; c++) {
                    float want = VALUES[3 * r + c];
                    assertEquals(want, row[c]);
                    assertEquals(want, f.value(r, c));
                    assertEquals(want, floats.order(ByteOrder.LITTLE_ENDIAN).getFloat(4 * c));
                    assertEquals(
                            want, f.type() == NpyType.F64 ? (float) bytes.getDouble(8 * c) : bytes.getFloat(4 * c));
                }
                f.readFloats(r, new int[] {2, 0}, floats.clear());
                assertEquals(VALUES[3 * r + 2], floats.getFloat(0));
                assertEquals(VALUES[3 * r], floats.getFloat(4));
            }
            f.checkFinite("values", "Repair it");
            assertArrayEquals(new int[3], f.notFinitePerColumn());
            assertEquals(name.equals("array_f4.npy"), f.conversion().isEmpty());
        }
    }

    /** Columns: as a conversion keeps it; constant up to rounding; NaN; and the tried one. */
    @ParameterizedTest
    @CsvSource({
        "1, 0, true",
        "1e-30, 0, true",
        "1e30, 0, true",
        "1, 1e3, true",
        "1, 1e9, false",
        "1, -1e9, false",
        "1e-60, 0, false"
    })
    void conversionsThatLoseWhatVariesAreRefused(double scale, double offset, boolean kept) throws IOException {
        double[] normal = {-1.2, 0.3, 0.9, -0.1};
        for (boolean fortran : new boolean[] {false, true}) {
            ByteBuffer b = ByteBuffer.allocate(4 * 4 * 8).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < 16; i++) {
                int row = fortran ? i % 4 : i / 4, column = fortran ? i / 4 : i % 4;
                b.putDouble(
                        switch (column) {
                            case 0 -> normal[row];
                            case 1 -> 0.1 * (1 + row % 2 * 0x1p-52);
                            case 2 -> row < 3 ? Double.NaN : 1;
                            default -> normal[row] * scale + offset;
                        });
            }
            String header = "{'descr': '<f8', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': (4, 4)}";
            NpyFile f = parse(header, b.array());
            if (kept) f.checkFloatKeeps("vertex");
            else
                refused(() -> f.checkFloatKeeps("vertex"), "x.npy, vertex 3", "float32", "Subtract each vertex's mean");
        }
    }

    @Test
    void booleansAreZerosAndOnes() throws IOException {
        byte[] file = golden("array_f8.npy");
        byte[] bools = new String(Arrays.copyOf(file, 128 + 6), StandardCharsets.ISO_8859_1)
                .replace("<f8", "|b1")
                .getBytes(StandardCharsets.ISO_8859_1);
        for (int i = 0; i < 6; i++) bools[128 + i] = (byte) (i % 2);
        NpyFile f = NpyFile.parse(Path.of("b.npy"), ByteBuffer.wrap(bools)).requireRank(2);
        assertArrayEquals(new float[] {0, 1, 0, 1, 0, 1}, f.toFloatArray());
        assertEquals("holds BOOL, which is converted to F32", f.conversion());
        f.checkFinite("responses", "Repair it");
    }

    @Test
    void typesThatAreNotReadAreNamed() {
        for (String[] type : new String[][] {
            {"<f16", "long double", "float64"},
            {"<c8", "complex", "numpy.abs"},
            {"<U3", "text", "as a dict"},
            {"<m8", "'<m8'", "float32"}
        }) {
            byte[] file = golden("array_f8.npy");
            String header = new String(file, 0, 128, StandardCharsets.ISO_8859_1);
            byte[] other = header.replace("'<f8'", "'" + type[0] + "'").getBytes(StandardCharsets.ISO_8859_1);
            System.arraycopy(other, 0, file, 0, 128);
            refused(() -> NpyFile.parse(Path.of("x.npy"), ByteBuffer.wrap(file)), "x.npy", type[1], type[2]);
        }
    }

    @Test
    void numbersBeyondFloatAreRefused() throws IOException {
        byte[] file = golden("array_f8.npy");
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putDouble(file.length - 8, 1e39);
        NpyFile f = NpyFile.parse(Path.of("far.npy"), ByteBuffer.wrap(file));
        refused(f::toFloatArray, "far.npy", "1.0E39", "float32");
        refused(() -> f.checkFinite("responses", "Repair it"), "far.npy", "1.0E39");
    }

    /** Every header of tools/golden_formats.py that numpy.load reads gives the same numbers; the others are refused. */
    @Test
    void readsTheHeadersThatNumpyReads() {
        List<String> lines = new String(golden("headers.txt"), StandardCharsets.US_ASCII)
                .lines()
                .toList();
        assertEquals(114, lines.size());
        for (String line : lines) {
            byte[] file = HexFormat.of().parseHex(line.substring(0, line.indexOf(' ')));
            String want = line.substring(line.indexOf(' ') + 1);
            if (want.equals("refused")) {
                refused(() -> NpyFile.parse(Path.of("x.npy"), ByteBuffer.wrap(file)), "x.npy");
                continue;
            }
            double[] numbers = Arrays.stream(want.split(","))
                    .mapToDouble(Double::parseDouble)
                    .toArray();
            assertArrayEquals(
                    numbers,
                    NpyFile.parse(Path.of("x.npy"), ByteBuffer.wrap(file)).toDoubleArray(),
                    new String(file, StandardCharsets.ISO_8859_1));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"f8", "column"})
    void readsMasksOfWholeNumbersInOtherForms(String form) throws IOException {
        try (NpyFile f = NpyFile.open(goldenFile(dir, "mask_" + form + ".npy"))) {
            assertTrue(f.isVector(5) && !f.isVector(4));
            assertArrayEquals(new int[] {0, 1, 1, 0, 7}, f.toIntArray());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"})
    void readsMasksOfAnyWidth(String type) throws IOException {
        int last = type.equals("b1") ? 1 : 7;
        assertArrayEquals(
                new int[] {0, 1, 1, 0, last},
                NpyFile.open(goldenFile(dir, "mask_" + type + ".npy")).toIntArray());
    }

    @Test
    void refusesMasksThatAreNotIntegers() throws IOException {
        NpyFile floats = NpyFile.open(goldenFile(dir, "array_f4.npy"));
        refused(floats::toIntArray, "array_f4.npy", "F32", "[2, 3]", "one-dimensional");
        refused(
                () -> NpyFile.open(goldenFile(dir, "mask_f8_not_whole.npy")).toIntArray(),
                "mask_f8_not_whole.npy",
                "element 1 (counted from 0) is 1.5, no whole number");
        Path nan = dir.resolve("nan.npy");
        NpyWriter.save(nan, new float[] {0, Float.NaN}, 2);
        refused(
                () -> NpyFile.open(nan).toIntArray(),
                "nan.npy",
                "element 1 (counted from 0) is NaN",
                "0, which means no ROI");
        NpyFile large = NpyFile.open(goldenFile(dir, "mask_u4_too_large.npy"));
        refused(large::toIntArray, "element 1 (counted from 0) is 2147483648");
    }

    @Test
    void unsignedLongsAreConvertedExactly() throws IOException {
        ByteBuffer raw = ByteBuffer.allocate(16)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(-1)
                .putLong(Long.MIN_VALUE);
        Path p = dir.resolve("u8.npy");
        try (NpyWriter w = NpyWriter.create(p, NpyType.U64, 2)) {
            w.write(raw.flip());
            w.commit();
        }
        assertArrayEquals(new double[] {0x1p64, 0x1p63}, NpyFile.open(p).toDoubleArray());
        refused(() -> NpyFile.open(p).toIntArray(), "18446744073709551615");
    }

    @Test
    void writesTheBytesThatNumpyWrites() throws IOException {
        Path p = dir.resolve("out.npy");
        NpyWriter.save(p, VALUES, 2, 3);
        assertArrayEquals(golden("array_f4.npy"), Files.readAllBytes(p));
        NpyWriter.save(p, new int[] {0, 1, 1, 0, 7}, 5);
        assertArrayEquals(golden("mask_i4.npy"), Files.readAllBytes(p));
        NpyWriter.saveBytes(p, new byte[] {0, 1, 1, 0, 7}, 5);
        assertArrayEquals(golden("mask_u1.npy"), Files.readAllBytes(p));
        NpyWriter.save(p, new float[] {2.5f});
        assertArrayEquals(golden("array_0d.npy"), Files.readAllBytes(p));
        NpyWriter.save(p, new float[0], 0, 5);
        assertArrayEquals(golden("array_empty.npy"), Files.readAllBytes(p));
        assertEquals(List.of("out.npy"), names(dir));
    }

    @Test
    void streamsRowsLongerThanItsBuffer() throws IOException {
        int width = 40_000;
        float[] rows = new float[3 * width + 7];
        for (int i = 0; i < rows.length; i++) {
            rows[i] = i;
        }
        Path p = dir.resolve("long.npy");
        try (NpyWriter w = NpyWriter.create(p, NpyType.F32, 3, width)) {
            w.writeRow(rows, 7, width);
            w.writeRow(rows, 7 + width, 2 * width);
            w.commit();
        }
        assertArrayEquals(
                Arrays.copyOfRange(rows, 7, rows.length), NpyFile.open(p).toFloatArray());
    }

    @Test
    void anUnfinishedFileLeavesNothingAndKeepsTheOldOne() throws IOException {
        Path p = Files.writeString(dir.resolve("kept.npy"), "old");
        try (NpyWriter w = NpyWriter.create(p, NpyType.F32, 2, 3)) {
            w.writeRow(VALUES, 0, 3);
            assertThrows(IllegalStateException.class, w::commit);
            assertThrows(IllegalArgumentException.class, () -> w.writeRow(VALUES, 0, 4));
            assertThrows(IllegalStateException.class, () -> w.writeRow(VALUES, 0, 6));
        }
        assertEquals("old", Files.readString(p));
        assertEquals(List.of("kept.npy"), names(dir));
    }

    /** With segments of 8 and 16 bytes, rows of 12 bytes straddle the maps in every way. */
    @ParameterizedTest
    @ValueSource(ints = {8, 16, 4096})
    void rowsStraddleMaps(int segment) throws IOException {
        float[] data = new float[300];
        for (int i = 0; i < data.length; i++) {
            data[i] = i + 0.5f;
        }
        Path p = dir.resolve("s.npy");
        NpyWriter.save(p, data, 100, 3);
        try (NpyFile f = NpyFile.open(p, segment)) {
            float[] row = new float[3];
            ByteBuffer raw = ByteBuffer.allocateDirect(12).order(ByteOrder.LITTLE_ENDIAN);
            for (int r = 0; r < 100; r++) {
                f.readRow(r, row, 0);
                f.readRow(r, raw.clear());
                for (int i = 0; i < 3; i++) {
                    assertEquals(data[3 * r + i], row[i]);
                    assertEquals(data[3 * r + i], raw.getFloat(4 * i));
                }
            }
            assertArrayEquals(data, f.toFloatArray());
        }
    }

    /** Reads a sparse file of 3 GiB: positions need more than 31 bits, the file more than one map. */
    @Test
    void readsBeyondTwoGibibytes() throws IOException {
        int width = 4099;
        long rows = 3L * (1 << 30) / (4L * width);
        Path p = dir.resolve("sparse.npy");
        byte[] header = NpyWriter.header(NpyType.F32, rows, width);
        try (RandomAccessFile f = new RandomAccessFile(p.toFile(), "rw")) {
            f.write(header);
            f.setLength(header.length + rows * width * 4);
            for (long r : new long[] {rows / 3, rows / 2, rows - 1}) {
                f.seek(header.length + (r * width + width - 1) * 4);
                f.write(ByteBuffer.allocate(4)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putFloat((float) r)
                        .array());
            }
        } catch (IOException e) {
            assumeTrue(false, "this system cannot create a sparse file of 3 GiB: " + e);
        }
        try (NpyFile f = NpyFile.open(p).require(NpyType.F32, 2)) {
            float[] row = new float[width];
            for (long r : new long[] {rows / 3, rows / 2, rows - 1}) {
                f.readRow(r, row, 0);
                assertEquals((float) r, row[width - 1]);
            }
        }
        byte[] masks = NpyWriter.header(NpyType.U8, rows * width * 4 + header.length - 128);
        assertEquals(128, masks.length);
        try (RandomAccessFile f = new RandomAccessFile(p.toFile(), "rw")) {
            f.write(masks);
        }
        try (NpyFile f = NpyFile.open(p)) {
            refused(f::toIntArray, "do not fit in one Java array");
        } finally {
            Files.delete(p);
        }
    }

    @Test
    void refusesEachBadFileByName() throws IOException {
        refused(() -> NpyFile.open(dir.resolve("absent.npy")), "absent.npy", "no such file");
        refused(() -> NpyFile.open(dir), dir.toString(), "folder");
        refused(() -> NpyFile.open(goldenFile(dir, "array_complex.npy")), "'<c8'");
        refused(() -> NpyFile.open(goldenFile(dir, "array_structured.npy")), "structured");
        refused(() -> NpyFile.open(goldenFile(dir, "mapping_saved.npy")), "pickled Python objects");
        refused(() -> NpyFile.open(goldenFile(dir, "array_f8.npy")).require(NpyType.F32, 2), "F64", "F32", "astype");
        refused(() -> NpyFile.open(goldenFile(dir, "array_f4.npy")).require(NpyType.F32, 1), "[2, 3]", "1 axis");
        NpyFile nan = NpyFile.open(goldenFile(dir, "array_nan.npy"));
        refused(() -> nan.checkFinite("fMRI responses", "Repair it"), "fMRI responses", "NaN at row 1, vertex 2");
        Files.writeString(dir.resolve("text.npy"), "hello, world");
        refused(() -> NpyFile.open(dir.resolve("text.npy")), "text.npy", "no npy file but a text that begins 'hello");
        refused(() -> parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9), "9", "8");
        refused(() -> parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 11), "truncated", "12", "11");
    }

    /** What else people save under the name of a npy file is named. */
    @Test
    void otherKindsOfFilesAreNamed() throws IOException {
        for (String[] kind : new String[][] {
            {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer", "git lfs pull"},
            {"PK\3\4", "npz archive", "numpy.save"},
            {"\u001f\u008b\10\0", "gzip", "Unpack"},
            {"<!DOCTYPE html><html>", "HTML page", "Download the file itself"},
            {"\u0089HDF\r\n\u001a\n", "HDF5", "numpy.save"},
            {"MATLAB 5.0 MAT-file", "MAT file", "numpy.save"},
            {"\u0080\4\u0095", "Python pickle", "numpy.save"}
        }) {
            Path p = dir.resolve(kind[1].startsWith("npz") ? "a.npy.npz" : "a.npy");
            Files.write(p, kind[0].getBytes(StandardCharsets.ISO_8859_1));
            refused(() -> NpyFile.open(p), "a.npy", kind[1], kind[2]);
        }
    }

    @Test
    void everyTruncationIsRefused() {
        byte[] whole = golden("array_f4.npy");
        for (int n = 0; n < whole.length; n++) {
            byte[] part = Arrays.copyOf(whole, n);
            refused(() -> NpyFile.parse(Path.of("cut.npy"), ByteBuffer.wrap(part)), "cut.npy", "truncated");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999, 9)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
                "{'descr': '<f4', 'fortran_order': False}",
                "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
                "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': ()} + 1",
                "{'descr': '<f4, 'fortran_order': False, 'shape': ()}",
                "{'descr': ''}",
                "{'descr': '<'}",
                "",
                "{",
                "[]"
            })
    void damagedHeadersAreRefused(String dict) {
        refused(() -> parse(dict, 4), "x.npy");
    }

    @Test
    void headersWithPython2LongsAndOtherSpacingAreRead() {
        assertArrayEquals(
                new long[] {1, 1},
                parse("{\"shape\":(1L,1L,),'fortran_order':False,'descr':'<f4'}\n", 4)
                        .shape());
    }

    @Test
    void closedFilesRefuseReads() throws IOException {
        NpyFile f = NpyFile.open(goldenFile(dir, "array_f4.npy"));
        f.close();
        assertThrows(IllegalStateException.class, () -> f.readRow(0, new float[3], 0));
    }

    private static NpyFile parse(String dict, int dataBytes) {
        return parse(dict, new byte[dataBytes]);
    }

    private static NpyFile parse(String dict, byte[] data) {
        byte[] text = dict.getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer file = ByteBuffer.allocate(10 + text.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        file.put((byte) 0x93)
                .put("NUMPY\1\0".getBytes(StandardCharsets.US_ASCII))
                .putShort((short) text.length)
                .put(text)
                .put(data);
        return NpyFile.parse(Path.of("x.npy"), file.rewind());
    }
}
