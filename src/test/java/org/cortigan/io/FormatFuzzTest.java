// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.zip.GZIPInputStream;
import org.cortigan.InputException;
import org.cortigan.cortex.Mesh;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Reads seeded mutations of valid files. A reader must accept the file or throw InputException, and allocate at most a
 * stated multiple of the file's size. Any other exception, an error or a hang fails the test.
 */
@Tag("slow")
class FormatFuzzTest {
    private static final int MUTATIONS = 120_000;
    private static final int[] INTERESTING = {0, 1, 2, 4, 0x7f, 0x80, 0xff, '\n', '(', ')', '}', ']', '{', '[', '"', '9'
    };

    @Test
    void mutatedNpyFilesAreReadOrRefused() {
        List<byte[]> seeds = new ArrayList<>();
        for (String name : new String[] {
            "array_f4",
            "array_f8",
            "array_f2",
            "array_v2",
            "array_v3",
            "array_0d",
            "array_empty",
            "array_fortran",
            "array_big_endian",
            "mask_b1",
            "mask_u1",
            "mask_i2",
            "mask_u4",
            "mask_i8"
        }) {
            seeds.add(Formats.golden(name + ".npy"));
        }
        byte[][] words = words(
                "'<f4'",
                "'|u1'",
                "'<i8'",
                "'|O'",
                "'>f4'",
                "'float64'",
                "'=i4'",
                "\t\r\n",
                "True",
                "False",
                "'shape': ",
                "(2, 3)",
                "(",
                "9999999999999999",
                "4294967296",
                ",",
                "1L",
                "'descr': ",
                "}");
        fuzz(seeds, words, 10, 64, file -> {
            NpyFile f = NpyFile.parse(Path.of("fuzz.npy"), ByteBuffer.wrap(file));
            f.checkFinite("values", "Repair it");
            f.toFloatArray();
            f.toDoubleArray();
            if (f.rows() > 0) {
                f.readRow(
                        f.rows() - 1,
                        ByteBuffer.allocate(f.rowElements() * f.type().bytes()));
            }
            if (f.isVector()) {
                f.toIntArray();
            }
            if (f.shape().length == 2) {
                f.notFinitePerColumn();
            }
        });
    }

    @Test
    void mutatedPicklesAreReadOrRefused() {
        List<byte[]> seeds = new ArrayList<>();
        for (String name : Formats.MAPPINGS) {
            seeds.add(Formats.golden("mapping_" + name + ".npy"));
        }
        for (String name : new String[] {"scalars_p2", "scalars_p3", "scalars_p4", "scalars_p5", "python2"}) {
            seeds.add(Formats.golden("mapping_" + name + ".npy"));
        }
        List<byte[]> words = new ArrayList<>(List.of(words(
                "cos\nsystem\n",
                "cnumpy\nndarray\n",
                "cnumpy\ndtype\n",
                "c_codecs\nencode\n",
                "cnumpy.core.multiarray\nscalar\n",
                "}q\0h\0h\0s",
                "]q\0h\0a",
                "U\2i8",
                "I01\n",
                "L12L\n",
                "g0\n",
                "p0\n",
                "S'\\x41'\n",
                "V\\u0041\n",
                "X\377\377\377\177",
                "(((((((",
                "2222")));
        for (int op = 0; op < 256; op++) { // every instruction, known or not
            words.add(new byte[] {(byte) op});
        }
        fuzz(seeds, words.toArray(new byte[0][]), 128, 200, file -> NumpyPickle.parse(Path.of("fuzz.npy"), file));
    }

    @Test
    void mutatedSafetensorsAreReadOrRefused() {
        List<byte[]> seeds = new ArrayList<>();
        seeds.add(Formats.golden("made.safetensors"));
        for (String json : new String[] {
            "{}",
            "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}",
            "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}"
        }) {
            ByteBuffer file = ByteBuffer.allocate(8 + json.length() + (json.length() > 2 ? 8 : 0));
            seeds.add(file.order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(json.length())
                    .put(json.getBytes(StandardCharsets.UTF_8))
                    .array());
        }
        byte[][] words = words(
                "\"F32\"",
                "\"U8\"",
                "\"BOOL\"",
                "[",
                "]",
                "{",
                "}",
                ":",
                ",",
                "[[[[[[[[",
                "{\"a\":",
                "\"",
                "\\u0000",
                "\\ud800",
                "9223372036854775807",
                "9223372036854775808",
                "-1",
                "1e400",
                "0.5",
                "null",
                "\"data_offsets\":[0,4]",
                "\"shape\":[4294967296,4294967296]",
                "\"__metadata__\":{}",
                "\377\376");
        fuzz(seeds, words, 8, 100, file -> {
            SafeTensors f = SafeTensors.parse(Path.of("fuzz.safetensors"), file);
            for (String name : f.names()) {
                f.read(name, ByteBuffer.allocate((int) f.entry(name).bytes()));
                f.floats(name);
            }
        });
    }

    @Test
    void mutatedMeshesAreReadOrRefused() {
        List<byte[]> seeds = new ArrayList<>();
        for (String name : new String[] {
            "mesh.white",
            "mesh_base64.gii",
            "mesh_gzip.gii",
            "mesh_gzip.gii.gz",
            "mesh_big_endian.gii",
            "mesh_columns.gii",
            "mesh_ascii.gii"
        }) {
            seeds.add(Formats.golden(name));
        }
        byte[][] words = words(
                "Dim0=\"12\"",
                "Dim0=\"16777216\"",
                "Dim0=\"3\"",
                "Dim1=\"3\"",
                "\"ASCII\"",
                "\"Base64Binary\"",
                "\"GZipBase64Binary\"",
                "\"BigEndian\"",
                "\"LittleEndian\"",
                "\"ColumnMajorOrder\"",
                "NIFTI_INTENT_TRIANGLE",
                "NIFTI_INTENT_POINTSET",
                "<Data>",
                "</Data>",
                "<DataArray ",
                "</DataArray>",
                "</GIFTI>",
                "<![CDATA[",
                "]]>",
                "<!--",
                "-->",
                "&e;",
                "&#0;",
                "<!DOCTYPE GIFTI [<!ENTITY e \"1 1 1\">]>",
                "<?xml version=\"1.1\" encoding=\"UTF-16\"?>",
                "encoding=\"EBCDIC\"",
                "xmlns:a=\"b\"",
                "a:",
                "1e40",
                "NaN",
                "-1",
                "AAAA",
                "=",
                "\377\377\376",
                "\n\n",
                "\37\213");
        fuzz(seeds, words, 40, 300, file -> Mesh.parse(Path.of("fuzz.gii"), file));
        List<byte[]> values = List.of(GiftiFile.functional(true, List.of("r"), new float[] {1, 2, 3}));
        fuzz(values, words, 40, 300, file -> GiftiFile.values(Path.of("fuzz.gii"), file));
    }

    @Test
    void mutatedMghFilesAreReadOrRefused() throws IOException {
        List<byte[]> seeds = new ArrayList<>();
        for (String name : new String[] {
            "nsddata/freesurfer/subj01/label/lh.streams.mgz",
            "nsddata/freesurfer/fsaverage/label/rh.nsdgeneral.mgz",
            "nsddata/freesurfer/fsaverage/label/rh.nsdgeneralRSC.mgz",
            "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR/lh.ncsnr.mgh"
        }) {
            byte[] file = Files.readAllBytes(Path.of("src/test/resources/nsd", name));
            seeds.add(file);
            if (name.endsWith("z")) {
                seeds.add(new GZIPInputStream(new ByteArrayInputStream(file)).readAllBytes());
            }
        }
        fuzz(seeds, words("\0\0\0\1", "\0\0\0\3", "\37\213\10"), 24, 2000, file -> {
            try {
                MghFile.readValues(Path.of("fuzz.mgh"), new ByteArrayInputStream(file));
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
    }

    /**
     * @param focus offset of the interesting part; half of all mutations happen after it
     * @param factor bytes that a reader may allocate per byte of the file, in addition to a constant
     */
    private static void fuzz(List<byte[]> seeds, byte[][] words, int focus, int factor, Consumer<byte[]> reader) {
        com.sun.management.ThreadMXBean memory = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        SplittableRandom random = new SplittableRandom(20_230_814);
        for (byte[] seed : seeds) { // loads the classes, whose memory must not count
            outcome(seed, reader);
        }
        int[] accepted = {0};
        Assertions.assertTimeout(Duration.ofSeconds(60), () -> {
            for (int i = 0; i < MUTATIONS; i++) {
                byte[] file = seeds.get(random.nextInt(seeds.size()));
                for (int k = random.nextInt(1, 5); k > 0; k--) {
                    file = mutate(file, seeds, words, focus, random);
                }
                if (random.nextBoolean()) {
                    repairLength(file);
                }
                long before = memory.getThreadAllocatedBytes(thread);
                accepted[0] += outcome(file, reader) ? 1 : 0;
                long used = memory.getThreadAllocatedBytes(thread) - before;
                if (used > (1 << 20) + (long) factor * file.length) {
                    fail(file.length + " bytes made the reader allocate " + used + ": " + hex(file));
                }
            }
        });
        // Make sure that mutations get past the first checks.
        assertTrue(accepted[0] >= MUTATIONS / 100, "only " + accepted[0] + " mutated files were readable");
    }

    /**
     * Whether the reader accepts the file. Any exception except InputException fails the test and prints the file in
     * hex.
     */
    private static boolean outcome(byte[] file, Consumer<byte[]> reader) {
        try {
            reader.accept(file);
            return true;
        } catch (InputException e) {
            if (e.getMessage().indexOf('\n') >= 0 || e.getMessage().length() > 2000) {
                fail("the message is not one short line: " + e.getMessage());
            }
            return false;
        } catch (Throwable e) {
            throw new AssertionError("not an InputException, for the file " + hex(file), e);
        }
    }

    private static byte[] mutate(byte[] file, List<byte[]> seeds, byte[][] words, int focus, SplittableRandom random) {
        if (file.length == 0) {
            return seeds.get(0);
        }
        int at = random.nextInt(random.nextBoolean() && focus < file.length ? focus : 0, file.length);
        byte[] out = file.clone();
        switch (random.nextInt(9)) {
            case 0 -> out[at] ^= (byte) (1 << random.nextInt(8));
            case 1 -> out[at] = (byte) random.nextInt(256);
            case 2 -> out[at] = (byte) INTERESTING[random.nextInt(INTERESTING.length)];
            case 3 -> out = Arrays.copyOf(file, at);
            case 4 -> { // a length field of 2, 4 or 8 bytes
                long[] values = {
                    0,
                    1,
                    -1,
                    file.length,
                    Integer.MAX_VALUE,
                    Integer.MIN_VALUE,
                    Long.MAX_VALUE,
                    Long.MIN_VALUE,
                    random.nextLong(),
                    random.nextInt(1, 300)
                };
                long v = values[random.nextInt(values.length)];
                int width = 2 << random.nextInt(3);
                for (int i = 0; i < width && at + i < out.length; i++) {
                    out[at + i] = (byte) (v >> 8 * i);
                }
            }
            case 5 -> { // splice: the start of this file, the rest of another
                byte[] other = seeds.get(random.nextInt(seeds.size()));
                out = replace(
                        file, at, file.length, Arrays.copyOfRange(other, random.nextInt(other.length), other.length));
            }
            case 6 -> out = replace(file, at, at, words[random.nextInt(words.length)]);
            case 7 -> {
                byte[] word = words[random.nextInt(words.length)];
                out = replace(file, at, Math.min(file.length, at + word.length), word);
            }
            default -> { // delete or repeat a stretch
                int end = Math.min(file.length, at + random.nextInt(1, 40));
                byte[] stretch = Arrays.copyOfRange(file, at, end);
                out = random.nextBoolean() ? replace(file, at, end, new byte[0]) : replace(file, at, at, stretch);
            }
        }
        return out;
    }

    /**
     * Sets the length field of a npy or safetensors header so that the header ends at the last brace and gets parsed.
     */
    private static void repairLength(byte[] file) {
        int end = file.length;
        while (end > 0 && file[end - 1] != '}') {
            end--;
        }
        ByteBuffer b = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        // a length of 'v' (118) belongs to the intact npy header of a pickle
        if (end > 12 && file[1] == 'N' && file[6] == 1 && file[8] != 'v') {
            b.putShort(8, (short) (end - 10));
        } else if (end > 8 && file[8] == '{') {
            b.putLong(0, end - 8);
        }
    }

    private static byte[] replace(byte[] file, int from, int to, byte[] with) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(file, 0, from);
        out.writeBytes(with);
        out.write(file, to, file.length - to);
        return out.toByteArray();
    }

    private static byte[][] words(String... words) {
        return Arrays.stream(words)
                .map(w -> w.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1))
                .toArray(byte[][]::new);
    }

    private static String hex(byte[] file) {
        return HexFormat.of().formatHex(file);
    }
}
