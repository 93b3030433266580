// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.golden;
import static org.cortigan.io.Formats.goldenFile;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class NumpyPickleTest {
    private static final Map<Integer, String> FLOC_FACES =
            Map.of(0, "Unknown", 1, "OFA", 2, "FFA-1", 3, "FFA-2", 4, "mTL-faces", 5, "aTL-faces");
    private static final String ARRAY = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR";
    private static final String DTYPE =
            "cnumpy\ndtype\n(U\2O8K\0K\1tR(K\3U\1|NNNJ\u00ff\u00ff\u00ff\u00ffJ\u00ff\u00ff\u00ff\u00ffK\77tb";

    @TempDir
    Path dir;

    static List<String> mappings() {
        return Formats.MAPPINGS;
    }

    @ParameterizedTest
    @MethodSource("mappings")
    void readsEveryProtocolOfBothNumpys(String name) throws IOException {
        Map<Integer, String> read = NumpyPickle.readMapping(goldenFile(dir, "mapping_" + name + ".npy"));
        assertEquals(FLOC_FACES, read);
        assertEquals(List.of(0, 1, 2, 3, 4, 5), new ArrayList<>(read.keySet()));
        assertThrows(UnsupportedOperationException.class, () -> read.put(9, "x"));
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 5})
    void readsNumpyScalars(int protocol) throws IOException {
        assertEquals(
                Map.of(0, "Unknown", 7, "parietal", -3, "V1v"),
                NumpyPickle.readMapping(goldenFile(dir, "mapping_scalars_p" + protocol + ".npy")));
    }

    @Test
    void readsKeysAndShapesThatScriptsSave() throws IOException {
        assertEquals(
                Map.of(1, "V1v", 2, "V1d", 3, "V2v"), NumpyPickle.readMapping(goldenFile(dir, "mapping_keys.npy")));
        assertEquals(Map.of(1, "V1v", 2, "V1d"), NumpyPickle.readMapping(goldenFile(dir, "mapping_one_axis.npy")));
        refused(
                () -> NumpyPickle.readMapping(goldenFile(dir, "mapping_inverted.npy")),
                "mapping_inverted.npy",
                "'V1v'",
                "{id: name}");
        refused(() -> NumpyPickle.readMapping(goldenFile(dir, "mapping_text.npy")), "mapping_text.npy", "as a dict");
        refused(() -> NumpyPickle.readMapping(goldenFile(dir, "mask_i4.npy")), "I32", "[5]", "{id: name}");
    }

    @ParameterizedTest
    @ValueSource(strings = {"ordered_p0", "ordered_p2", "ordered_p5", "default_p0", "default_p2", "default_p5"})
    void readsDictsOfCollections(String name) throws IOException {
        assertEquals(FLOC_FACES, NumpyPickle.readMapping(goldenFile(dir, "mapping_" + name + ".npy")));
        assertEquals(Map.of(1, "a"), run(array("ccollections\ndefaultdict\n(NtRK\1U\1as")));
    }

    @Test
    void keysThatAreNoIdsAreNamed() throws IOException {
        assertEquals(
                Map.of(1, "V1v", 2, "V1d", 3, "V2v"),
                NumpyPickle.readMapping(goldenFile(dir, "mapping_float_scalars.npy")));
        for (String name : new String[] {"mapping_true.npy", "mapping_true_scalar.npy"})
            refused(
                    () -> NumpyPickle.readMapping(goldenFile(dir, name)),
                    name,
                    "maps True to the string 'V1v'",
                    "{id: name}");
        refused(() -> run(array("}NK\1s")), "maps None to 1");
        refused(() -> run(array("}(K\1tK\1s")), "a key of the dict is a tuple, no ROI id", "{id: name}");
    }

    @Test
    void typesAreReadButNotCalled() {
        refused(() -> run("cbuiltins\nstr\n(K\1tR."), "TYPE");
        refused(() -> run("ccollections\ndefaultdict\n(cos\nsystem\ntR."), "'os.system'", "dict(mapping)");
        refused(
                () -> run("ccollections\ndefaultdict\n(cnumpy\nndarray\ntR."),
                "a call of defaultdict",
                "dict(mapping)");
        refused(() -> run("ccollections\nOrderedDict\n(K\1tR."), "a call of OrderedDict", "dict(mapping)");
        refused(() -> run(array("ccollections\nOrderedDict\n)R}b")), "state set on a dict");
        refused(() -> run("ccollections\nCounter\n."), "'collections.Counter'", "dict(mapping)");
    }

    @Test
    void readsPicklesOfPython2() throws IOException {
        assertEquals(Map.of(0, "Unknown", 1, "V1v"), NumpyPickle.readMapping(goldenFile(dir, "mapping_python2.npy")));
    }

    @Test
    void writesTheBytesThatNumpyLoadedInTheGoldenScript() throws IOException {
        Map<Integer, String> mapping = new LinkedHashMap<>();
        for (int i = 0; i < 6; i++) {
            mapping.put(i, FLOC_FACES.get(i));
        }
        Path p = dir.resolve("m.npy");
        NumpyPickle.writeMapping(p, mapping);
        assertArrayEquals(golden("mapping_written.npy"), Files.readAllBytes(p));
    }

    @Test
    void roundTripsOddNames() {
        Path p = dir.resolve("m.npy");
        Map<Integer, String> odd =
                Map.of(Integer.MIN_VALUE, "", Integer.MAX_VALUE, "caf\u00e9 \ud83e\udde0\n'", -1, "x".repeat(300));
        NumpyPickle.writeMapping(p, odd);
        assertEquals(odd, NumpyPickle.readMapping(p));
        NumpyPickle.writeMapping(p, Map.of());
        assertEquals(Map.of(), NumpyPickle.readMapping(p));
    }

    @Test
    void theHandMadePicklesOfTheTestsBelowAreReadable() {
        assertEquals(Map.of(1, "a"), run(array("}K\1U\1as")));
    }

    @Test
    void refusesOtherFiles() throws IOException {
        refused(() -> NumpyPickle.readMapping(dir.resolve("absent.npy")), "absent.npy", "no such file");
        refused(() -> NumpyPickle.readMapping(dir), "folder");
        refused(() -> NumpyPickle.readMapping(goldenFile(dir, "array_f4.npy")), "array_f4.npy", "not a pickled dict");
        Files.write(dir.resolve("large.npy"), new byte[(1 << 20) + 1]);
        refused(() -> NumpyPickle.readMapping(dir.resolve("large.npy")), "too many");
    }

    @ParameterizedTest
    @MethodSource("mappings")
    void everyTruncationIsRefused(String name) {
        byte[] whole = golden("mapping_" + name + ".npy");
        for (int n = 0; n < whole.length; n++) {
            byte[] part = Arrays.copyOf(whole, n);
            refused(() -> NumpyPickle.parse(Path.of("cut.npy"), part), "cut.npy");
        }
    }

    @Test
    void codeIsRefusedByName() {
        refused(() -> run("cos\nsystem\n(S'true'\ntR."), "'os.system'", "refused");
        refused(() -> run("\u0080\4\u008c\2os\u008c\6system\u0093\u008c\4true\u0085R."), "'os.system'");
        refused(() -> run("c__builtin__\neval\n(S'1'\ntR."), "'__builtin__.eval'");
        refused(() -> run("cbuiltins\neval\n."), "'builtins.eval'");
        refused(() -> run("cnumpy\nload\n."), "'numpy.load'");
        refused(() -> run("cnumpy.core.multiarray\nfromfile\n."), "fromfile");
        refused(() -> run("c_codecs\ndecode\n."), "'_codecs.decode'");
        refused(() -> run("(ios\nsystem\n."), "'os.system'");
        refused(() -> run("(cnumpy\nndarray\no."), "OBJ");
        refused(() -> run("cnumpy\nndarray\n)\u0081."), "NEWOBJ");
        refused(() -> run("cnumpy\nndarray\n)}\u0092."), "NEWOBJ_EX");
        refused(() -> run("Pid\n."), "persistent");
        refused(() -> run("NQ."), "persistent");
        refused(() -> run("\u0082\1."), "extension");
        refused(() -> run("\u0097."), "0x97");
        refused(() -> run("\u0096\1\0\0\0\0\0\0\0x."), "0x96");
        refused(() -> run("\u00ff."), "0xff");
        refused(() -> run("cos\u001b[2J\u00e9\nsystem\n."), "os\\u001b[2J\\u00e9.system");
        // A call hidden among the values of an otherwise valid mapping.
        refused(() -> run(array("}K\1cposix\nsystem\n(U\1atRs")), "'posix.system'");
    }

    @Test
    void callsWithOtherArgumentsAreRefused() {
        refused(() -> run("cnumpy\ndtype\n(U\2O8tR."), "DTYPE");
        refused(() -> run("cnumpy\ndtype\n(U\2V9K\0K\1tR."), "'V9'");
        refused(() -> run("cnumpy\ndtype\n(U\5a3,b4K\0K\1tR."), "dtype 'a3,b4'");
        refused(() -> run("cnumpy\ndtype\n(cnumpy\nndarray\nK\0K\1tR."), "DTYPE");
        refused(() -> run("cnumpy\nndarray\n(K\1tR."), "NDARRAY");
        refused(() -> run("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\0tU\1btR."), "RECONSTRUCT");
        refused(() -> run("cnumpy.core.multiarray\nscalar\n(" + DTYPE + "U\10aaaaaaaatR."), "SCALAR");
        refused(() -> run("c_codecs\nencode\n(X\1\0\0\0aX\3\0\0\0hextR."), "ENCODE");
        refused(() -> run("U\1xU\1yR."), "REDUCE");
        refused(() -> run("cnumpy\ndtype\n]R."), "REDUCE");
    }

    @Test
    void abusesOfBuildAreRefused() {
        refused(() -> run("}}b."), "state set on a dict");
        refused(() -> run("cnumpy\ndtype\n}U\4evalNsb."), "state set on DTYPE");
        refused(() -> run(ARRAY + "}b."), "state of an array");
        refused(() -> run(ARRAY + "(K\1(K\2t" + DTYPE + "\u0089(}ltb."), "one element");
        refused(() -> run(ARRAY + "(K\1)" + DTYPE + "\u0089(}}ltb."), "one element");
        refused(
                () -> run(ARRAY + "(K\1)" + DTYPE + "\u0089(}ltb(K\1)" + DTYPE + "\u0089(}ltb."),
                "state set on an array");
        refused(() -> run(ARRAY + "(K\1)cnumpy\ndtype\n(U\2O8K\0K\1tR\u0089(}ltb."), "one element");
        refused(() -> run("cnumpy\ndtype\n(U\2i8K\0K\1tR(K\3U\1>NNNK\0K\0K\0tb."), "big-endian");
        refused(() -> run("cnumpy\ndtype\n(U\2i8K\0K\1tR(K\3U\1<Ncos\nsystem\nNK\0K\0K\0tb."), "'os.system'");
        refused(() -> run(ARRAY + "."), "not a 0-d array");
    }

    @Test
    void otherContentIsRefused() {
        refused(() -> run("}."), "a dict");
        refused(() -> run(array("N")), "None", "not a dict");
        refused(() -> run(array("}U\1aU\1bs")), "'a'", "32-bit integer");
        refused(() -> run(array("}K\1K\2s")), "maps 1 to 2");
        refused(() -> run(array("}\u008a\5\0\0\0\0\1U\1as")), "4294967296");
        refused(() -> run(array("}]K\1s")), "a list");
        refused(() -> run(array("}(K\1tK\1s")), "a tuple");
        refused(() -> run(array("}K\1G\77\u00f0\0\0\0\0\0\0s")), "1.0");
        refused(() -> run(array("}K\1U\1as") + "N"), "left over");
        refused(() -> run("N" + array("}K\1U\1as")), "left over");
        refused(() -> run("(" + array("}K\1U\1as")), "left over");
    }

    @Test
    void falseLengthsAreRefusedWithoutAllocation() {
        refused(() -> run("X\u00ff\u00ff\u00ff\177."), "2147483647");
        refused(() -> run("X\u00ff\u00ff\u00ff\u00ff."), "-1");
        refused(() -> run("B\u00ff\u00ff\u00ff\177."), "2147483647");
        refused(() -> run("\u008d\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\177."), "9223372036854775807");
        refused(() -> run("\u008e\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff."), "-1");
        refused(() -> run("\u008b\u00ff\u00ff\u00ff\177."), "integer of 2147483647 bytes");
        refused(() -> run("\u0080\4\u0095\u00ff\u00ff\u00ff\177\0\0\0\0N."), "frame");
        refused(() -> run("\u0080\11N."), "protocol 9");
        refused(() -> run("U\u00ffabc."), "255");
        refused(() -> run("I" + "9".repeat(50_000) + "\n."), "integer");
    }

    @Test
    void abusesOfTheStackAreRefused() {
        for (String program : new String[] {
            ".",
            "0.",
            "1.",
            "2.",
            "a.",
            "e.",
            "s.",
            "u.",
            "t.",
            "l.",
            "d.",
            "b.",
            "R.",
            "\u0085.",
            "\u0087.",
            "\u0093.",
            "q\0.",
            "\u0094.",
            "h\1.",
            "g5\n.",
            "j\0\0\0\u0080.",
            "N(0.",
            "N(\u0085.",
            "(N.",
            "}(Ku.",
            "}(K\1u.",
            "]N(a.",
            "K\1K\2a.",
            "K\1(K\2e.",
            "K\1K\2K\3s.",
            "S'abc\n.",
            "Sabc\n.",
            "S'\\x4'\n.",
            "S'\\q'\n.",
            "V\\u12\n.",
            "V\\U00110000\n.",
            "U\1\u00e9.",
            "X\1\0\0\0\u00ff.",
            "Lx\n.",
            "I\n."
        }) {
            refused(() -> run(program), "x.npy, byte ");
        }
    }

    /** Each bomb is a small file whose naive reading needs unbounded memory, stack or time. */
    @Test
    void bombsAreRefusedQuickly() {
        // Lists in lists in lists, tuples in tuples, dicts in dicts.
        refused(() -> run("(".repeat(40_000) + "l".repeat(40_000) + "."), "a list");
        refused(() -> run(")" + "\u0085".repeat(90_000) + "."), "a tuple");
        refused(() -> run(array("(".repeat(20_000) + "d".repeat(20_000))), "a dict");
        // Doubling through the memo: 2^60 elements if it were ever expanded.
        StringBuilder laughs = new StringBuilder("]q\0");
        for (int i = 0; i < 60; i++) {
            laughs.append("(h\0h\0lq\0");
        }
        refused(() -> run(laughs + "."), "left over");
        refused(() -> run(array(laughs.substring(laughs.lastIndexOf("("))) + "."), "memo entry 0");
        // A list and a dict that contain themselves.
        refused(() -> run(array("]q\0h\0a")), "a list, not a dict");
        refused(() -> run(array("}q\0K\1h\0s")), "maps 1 to a dict");
        // A long string that is converted repeatedly.
        refused(
                () -> run("c_codecs\nencode\nq\0(X\0\20\0\0" + "a".repeat(4096) + "X\6\0\0\0latin1tq\1"
                        + "h\0h\1R".repeat(30_000) + "."),
                "ENCODE");
        refused(() -> run("]" + "\u0094".repeat(200_000) + "."), "100000 instructions");
        refused(() -> run("N" + "2".repeat(500_000) + "."), "100000 instructions");
    }

    /** A pickle program for a 0-d array that holds the value that {@code item} leaves on the stack. */
    private static String array(String item) {
        return ARRAY + "(K\1)" + DTYPE + "\u0089(" + item + "ltb.";
    }

    private static Map<Integer, String> run(String program) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(NpyWriter.header(NpyType.OBJECT));
        out.writeBytes(program.getBytes(StandardCharsets.ISO_8859_1));
        return NumpyPickle.parse(Path.of("x.npy"), out.toByteArray());
    }
}
