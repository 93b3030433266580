// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Reads and writes the challenge's ROI mappings, {@code mapping_<class>.npy}: a Python dict from ROI id to name, which
 * numpy.save stores as a 0-d object array, that is, as a pickle.
 *
 * <p>A pickle is a program. This reader interprets it on a virtual machine that knows only the instructions and the
 * names that numpy 1 and 2 emit for such an array (array and scalar reconstruction, ndarray, dtype, and the codec that
 * protocol 2 uses for bytes), OrderedDict and defaultdict. It rejects anything else and names it in the message. It
 * runs no foreign code, does not recurse, and limits file size and steps, and therefore memory.
 */
public final class NumpyPickle {
    private static final int MAX_FILE_BYTES = 1 << 20;

    static final String REMEDY =
            "Give a mapping_<class>.npy of the challenge, or save {id: name} with numpy.save(path, {1: 'V1v', 2: 'V1d'})";

    private NumpyPickle() {}

    /**
     * Reads a mapping, in the file's order.
     *
     * @return ROI id to name, unmodifiable
     * @throws InputException if the file is missing, malformed or holds anything but such a dict
     */
    public static Map<Integer, String> readMapping(Path path) {
        return parse(path, InputFiles.readAll(path, MAX_FILE_BYTES, "a pickled ROI mapping"));
    }

    static Map<Integer, String> parse(Path path, byte[] file) {
        NpyHeader header = NpyHeader.read(path, ByteBuffer.wrap(file));
        if (header.type() != NpyType.OBJECT || !Arrays.stream(header.shape()).allMatch(n -> n == 1)) {
            throw new InputException(
                    path.toString(),
                    "is an array of type " + header.type() + " and shape " + Arrays.toString(header.shape())
                            + ", not a pickled dict",
                    REMEDY);
        }
        Object value = new Unpickler(path, file, header.offset()).run();
        if (!(value instanceof Map<?, ?> dict)) {
            throw new InputException(
                    path.toString(), "the array holds " + Unpickler.describe(value) + ", not a dict", REMEDY);
        }
        Map<Integer, String> mapping = new LinkedHashMap<>();
        for (Map.Entry<?, ?> e : dict.entrySet()) {
            Integer id = id(e.getKey());
            if (id == null || !(e.getValue() instanceof String name)) {
                throw new InputException(
                        path.toString(),
                        "the dict maps " + Unpickler.describe(e.getKey()) + " to " + Unpickler.describe(e.getValue())
                                + ", but each key must be an ROI id, a 32-bit integer, and each value a string",
                        REMEDY);
            }
            if (mapping.put(id, name) != null) {
                throw new InputException(path.toString(), "the dict has two names of the ROI id " + id, REMEDY);
            }
        }
        return Collections.unmodifiableMap(mapping);
    }

    /** An ROI id that a script may have saved as an integer, a whole number of another type, or text; null if none. */
    private static @Nullable Integer id(@Nullable Object key) {
        if (key instanceof Long id && id == id.intValue()) return id.intValue();
        if (key instanceof Double id && id == id.intValue()) return id.intValue();
        if (key instanceof String text && text.matches("-?\\d{1,9}")) return Integer.valueOf(text);
        return null;
    }

    /**
     * Writes a mapping that {@code numpy.load(path, allow_pickle=True).item()} returns as a dict, under numpy 1 and 2
     * (protocol 3 and the module names of numpy 1, which numpy 2 still accepts).
     */
    public static void writeMapping(Path path, Map<Integer, String> mapping) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(NpyWriter.header(NpyType.OBJECT));
        out.write(0x80);
        out.write(3);
        ascii(
                out,
                "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\u0085C\1b\u0087R"); // ndarray of shape (0,)
        ascii(out, "(K\1)cnumpy\ndtype\nX\2\0\0\0O8\u0089\u0088\u0087R"); // state: version, shape (), dtype
        ascii(out, "(K\3X\1\0\0\0|NNNJ\u00ff\u00ff\u00ff\u00ffJ\u00ff\u00ff\u00ff\u00ffK\77tb"); // the dtype's state
        ascii(out, "\u0089]}("); // C order, list, dict, mark
        mapping.forEach((id, name) -> {
            byte[] utf8 = name.getBytes(StandardCharsets.UTF_8);
            out.write('J');
            out.writeBytes(int32(id));
            out.write('X');
            out.writeBytes(int32(utf8.length));
            out.writeBytes(utf8);
        });
        ascii(out, "uatb.");
        AtomicFiles.write(path, out.toByteArray());
    }

    private static void ascii(ByteArrayOutputStream out, String bytes) {
        out.writeBytes(bytes.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static byte[] int32(int v) {
        return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(v).array();
    }
}
