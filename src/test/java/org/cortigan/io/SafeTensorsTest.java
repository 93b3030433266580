// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.golden;
import static org.cortigan.io.Formats.goldenFile;
import static org.cortigan.io.Formats.names;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.cortigan.graph.Half;
import org.cortigan.io.SafeTensors.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafeTensorsTest {
    @TempDir
    Path dir;

    @Test
    void readsAFileOfTheReferenceImplementation() throws IOException {
        for (int segment : new int[] {8, 1 << 30}) {
            try (SafeTensors f = SafeTensors.open(goldenFile(dir, "made.safetensors"), segment)) {
                assertEquals(Set.of("bias", "a.half", "steps", "double", "mask", "none", "count"), f.names());
                assertEquals(Map.of("note", "caf\u00e9"), f.metadata());
                assertArrayEquals(new float[] {1, -2.5f}, f.floats("bias"));
                assertArrayEquals(new float[] {1, 65504, 0x1p-24f, -0.5f}, f.floats("a.half"));
                assertArrayEquals(new long[] {2, 2}, f.entry("a.half").shape());
                assertEquals(DType.F16, f.entry("a.half").dtype());
                assertArrayEquals(new float[] {0.1f}, f.floats("double"));
                assertEquals(0, f.floats("none").length);
                ByteBuffer raw = ByteBuffer.allocateDirect(9)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .position(1);
                f.read("steps", raw);
                assertEquals(7, raw.getLong(1));
                assertEquals(9, raw.position());
                assertThrows(IllegalArgumentException.class, () -> f.read("steps", raw));
                refused(() -> f.floats("steps"), "'steps'", "I64");
                refused(() -> f.entry("weight"), "made.safetensors", "'weight'");
            }
        }
    }

    @Test
    void writesTheReferenceImplementationsBytesWhateverTheOrderOfAdding() throws IOException {
        byte[] want = golden("made.safetensors");
        Path p = dir.resolve("out.safetensors");
        SafeTensors.Writer w = new SafeTensors.Writer(p).metadata("note", "caf\u00e9");
        SafeTensors made = SafeTensors.parse(p, want);
        for (String name : List.of("none", "mask", "double", "count", "bias", "steps", "a.half")) {
            SafeTensors.Entry e = made.entry(name);
            ByteBuffer data = ByteBuffer.allocate((int) e.bytes());
            made.read(name, data);
            w.add(name, e.dtype(), e.shape(), data.flip());
        }
        w.commit();
        assertArrayEquals(want, Files.readAllBytes(p));
        w.commit(); // may be repeated
        assertArrayEquals(want, Files.readAllBytes(p));
        assertEquals(0, (made.entry("steps").offset() % 8));
        assertEquals(List.of("out.safetensors"), names(dir));
        assertArrayEquals(want, w.bytes());
    }

    @Test
    void bf16RoundTrips() {
        Path p = dir.resolve("b.safetensors");
        ByteBuffer data = ByteBuffer.allocate(4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putShort(Half.toBf16(-3.140625f))
                .putShort(Half.toBf16(1e38f));
        new SafeTensors.Writer(p)
                .add("w", DType.BF16, new long[] {2, 1}, data.flip())
                .add("x", new float[] {4})
                .commit();
        try (SafeTensors f = SafeTensors.open(p)) {
            assertArrayEquals(new float[] {-3.140625f, Half.fromBf16(Half.toBf16(1e38f))}, f.floats("w"));
            assertArrayEquals(new float[] {4}, f.floats("x"));
            assertEquals(0, f.entry("x").shape().length);
        }
        SafeTensors closed = SafeTensors.open(p);
        closed.close();
        assertThrows(IllegalStateException.class, () -> closed.floats("x"));
    }

    @Test
    void anEmptyFileRoundTrips() {
        Path p = dir.resolve("e.safetensors");
        new SafeTensors.Writer(p).commit();
        assertEquals(Set.of(), SafeTensors.open(p).names());
    }

    @Test
    void theWriterRefusesWrongCallsAndLeavesNothing() throws IOException {
        Path p = dir.resolve("w.safetensors");
        SafeTensors.Writer w = new SafeTensors.Writer(p).add("a", new float[2], 3);
        assertThrows(IllegalStateException.class, w::commit);
        assertThrows(IllegalArgumentException.class, () -> w.add("a", new float[1], 1));
        assertThrows(IllegalArgumentException.class, () -> w.add("__metadata__", new float[1], 1));
        assertThrows(ArithmeticException.class, () -> w.add("b", new float[1], 1L << 40, 1L << 40));
        assertEquals(List.of(), names(dir));
    }

    @Test
    void falseHeadersAreRefused() {
        refused(() -> SafeTensors.open(dir.resolve("absent.safetensors")), "absent.safetensors", "no such file");
        refused(() -> SafeTensors.open(dir), "folder");
        lie(-2, "{}", 0, "claims 18446744073709551614");
        lie(Long.MAX_VALUE - 1, "{}", 0, "claims 9223372036854775806");
        lie(3, "{}", 0, "claims 3 bytes, but the file has 2");
        lie(0, "{}", 0, "claims 0");
        good("{}", 0);
        good("{\"a\":" + t("F32", "[2,1]", 0, 8) + "}  ", 8);
        bad("[]", 0, "'{'");
        bad(" {}", 0, "'{'");
        bad("{}{}", 0, "after the end");
        bad("{\"a\"", 0, "JSON");
        bad("{\"a\":NaN}", 0, "JSON");
        bad("{\"a\":1e999}", 0, "beyond the range");
        bad("{\"a\":" + "9".repeat(500) + "}", 0, "JSON");
        bad("{\"a\":" + "[".repeat(20_000) + "]".repeat(20_000) + "}", 0, "JSON", "depth");
        bad("{\"a\":" + "{\"a\":".repeat(20_000) + "1" + "}".repeat(20_001), 0, "JSON", "depth");
        bad("{}", 1, "end at byte 10, the file at byte 11");
        bad("{\"a\":[]}", 0, "'a'", "dtype, shape, data_offsets");
        bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "dtype, shape, data_offsets");
        bad("{\"a\":" + t("F33", "[1]", 0, 4) + "}", 4, "'F33'");
        bad("{\"a\":" + t("F32", "[1]", 0, 4).replace("\"F32\"", "7") + "}", 4, "unknown dtype");
        bad("{\"a\":" + t("F32", "1", 0, 4) + "}", 4, "shape");
        bad("{\"a\":" + t("F32", "[1.0]", 0, 4) + "}", 4, "shape");
        bad("{\"a\":" + t("F32", "[-1,-1]", 0, 4) + "}", 4, "shape");
        bad("{\"a\":" + t("F32", "[" + "1,".repeat(40) + "1]", 0, 4) + "}", 4, "at most 32");
        bad("{\"a\":" + t("F32", "[4294967296,4294967296,4]", 0, 4) + "}", 4, "overflows");
        bad("{\"a\":" + t("F32", "[99999999999999999999]", 0, 4) + "}", 4, "shape");
        bad("{\"a\":" + t("F32", "[2]", 0, 4) + "}", 4, "needs 8 bytes, but has 4");
        bad("{\"a\":" + t("F32", "[1]", 4, 0) + "}", 4, "[4, 0], outside");
        bad("{\"a\":" + t("F32", "[2]", 0, 8) + "}", 4, "outside the 4 bytes");
        bad("{\"a\":" + t("F32", "[1]", 4, 8) + "}", 4, "outside");
        bad("{\"a\":" + t("F32", "[1]", 4, 8) + "}", 8, "unused bytes between the header and tensor 'a'");
        bad("{\"a\":" + t("F32", "[1]", 0, 4) + ",\"b\":" + t("F32", "[1]", 2, 6) + "}", 6, "'b' overlaps tensor 'a'");
        bad("{\"a\":" + t("F32", "[1]", 0, 4) + ",\"b\":" + t("F32", "[1]", 0, 4) + "}", 4, "overlaps");
        bad("{\"a\":" + t("F32", "[1]", 0, 4) + ",\"a\":" + t("F32", "[1]", 4, 8) + "}", 8, "JSON", "uplicate");
        bad("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__", "not a string");
        bad("{\"__metadata__\":null}", 0, "__metadata__");
        bad("{\"a\\n\\u001b\":1}", 0, "'a\\u000a\\u001b'");
    }

    @Test
    void anotherKindOfFileIsNamed() {
        kind("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer", "git lfs pull");
        kind("PK\3\4" + "\0".repeat(22) + "\20\0\0\0archive/data.pkl", "a PyTorch file", "save_file");
        kind("\u0080\2\u008a\nl\u00fc\u009cF\u00f9 j\u00a8P\u0019.", "a PyTorch file of the old form", "save_file");
        kind("\u0080\4\u0095....", "a Python pickle", "save_file");
        kind(
                "{\n \"metadata\": {\"total_size\": 9},\n \"weight_map\": {}}",
                "the index of a model in several files",
                "max_shard_size");
        kind("<!DOCTYPE html>\n<html>", "an HTML page", "login");
        kind("\u001f\u008b\b........", "gzip", "Unpack");
        kind("model:\n  generator: {}\n", "a text that begins 'model:'", "safetensors file");
        kind("epoch,step,loss\n1,2,3\n", "a text that begins 'epoch,step,loss'", "safetensors file");
        kind("\u0093NUMPY\1\0", "a npy file", "safetensors file");
        kind("\u0089PNG\r\n\u001a\n....", "a PNG picture", "safetensors file");
        kind("", "an empty file", "again");
    }

    private static void kind(String content, String... parts) {
        byte[] bytes = content.getBytes(StandardCharsets.ISO_8859_1);
        refused(() -> SafeTensors.parse(Path.of("model.safetensors"), bytes), "is no safetensors file but", parts[0]);
        refused(() -> SafeTensors.parse(Path.of("model.safetensors"), bytes), "model.safetensors", parts[1]);
    }

    @Test
    void typesThatAreNotReadStandInNobodysWay() {
        String others = "\"a\":" + t("C64", "[2]", 4, 20) + ",\"b\":" + t("F4", "[3,2]", 20, 23) + ",\"c\":"
                + t("F8_E8M0", "[1]", 23, 24) + ",\"d\":" + t("F6_E2M3", "[4]", 24, 27);
        SafeTensors f = parse(
                ("{\"w\":" + t("F32", "[1]", 0, 4) + "," + others + "}").length(),
                "{\"w\":" + t("F32", "[1]", 0, 4) + "," + others + "}",
                27);
        assertArrayEquals(new float[1], f.floats("w"));
        assertEquals(6, f.entry("b").elements());
        refused(() -> f.floats("a"), "'a'", "dtype C64", "Convert it to F32");
        bad("{\"a\":" + t("F4", "[3]", 0, 1) + "}", 1, "'a'", "within a byte");
        refused(() -> parse(2, "{\"", 0), "header: not valid JSON", "Copy or download the file again");
    }

    @Test
    void parametersAreFinite() {
        Path p = dir.resolve("n.safetensors");
        new SafeTensors.Writer(p)
                .add("w\u001b[31m", new float[] {0, 1, 2, 3, Float.NaN, 5}, 2, 3)
                .add("v", new float[] {Float.NEGATIVE_INFINITY})
                .commit();
        try (SafeTensors f = SafeTensors.open(p)) {
            refused(() -> f.finite("w\u001b[31m"), "n.safetensors", "'w\\u001b[31m'", "NaN at index [1, 1]");
            refused(() -> f.floats("v", 1), "'v'", "-Infinity at index []");
            assertEquals("'w\\u001b[31m' F32[2, 3]", f.entry("w\u001b[31m").toString());
        }
    }

    @Test
    void everyTruncationIsRefused() {
        byte[] whole = golden("made.safetensors");
        for (int n = 0; n < whole.length; n++) {
            byte[] part = Arrays.copyOf(whole, n);
            refused(() -> SafeTensors.parse(Path.of("cut.safetensors"), part), "cut.safetensors");
        }
    }

    private static String t(String dtype, String shape, long from, long to) {
        return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + from + "," + to + "]}";
    }

    private static void good(String json, int dataBytes) {
        parse(json.length(), json, dataBytes);
    }

    private static void bad(String json, int dataBytes, String... parts) {
        lie(json.length(), json, dataBytes, parts);
    }

    private static void lie(long length, String json, int dataBytes, String... parts) {
        refused(() -> parse(length, json, dataBytes), parts);
    }

    private static SafeTensors parse(long length, String json, int dataBytes) {
        byte[] text = json.getBytes(StandardCharsets.UTF_8);
        return SafeTensors.parse(
                Path.of("x.safetensors"),
                ByteBuffer.allocate(8 + text.length + dataBytes)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(length)
                        .put(text)
                        .array());
    }
}
