// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * The header of a npy file. Source of the format: numpy.lib.format.
 *
 * @param offset position of the first byte after the header
 */
record NpyHeader(NpyType type, long[] shape, int offset) {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int MAX_DICTIONARY_BYTES = 1 << 16;
    private static final int MAX_RANK = 32;

    /** No header is longer: magic, version and length take at most 12 bytes, then follows the dictionary. */
    static final int MAX_BYTES = 12 + MAX_DICTIONARY_BYTES;

    /** Reads magic, version and header dictionary from the start of a file. */
    static NpyHeader read(Path path, ByteBuffer file) {
        ByteBuffer in = file.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        checkMagic(path, in);
        if (in.limit() < 10) {
            throw truncated(path, "the file has only " + in.limit() + " bytes");
        }
        int version = in.get(6);
        if (version < 1 || version > 3 || in.get(7) != 0) {
            throw new InputException(
                    path.toString(),
                    "npy format version " + version + "." + in.get(7) + " is unknown",
                    "Save it again with numpy.save (versions 1.0, 2.0 and 3.0 are read)");
        }
        int start = version == 1 ? 10 : 12;
        if (in.limit() < start) {
            throw truncated(path, "the file has only " + in.limit() + " bytes");
        }
        long length = version == 1 ? in.getShort(8) & 0xffff : in.getInt(8) & 0xffffffffL;
        if (length > MAX_DICTIONARY_BYTES) {
            throw new InputException(
                    path.toString(),
                    "a header of " + length + " bytes is not plausible",
                    "The file is damaged or hostile; save it again with numpy.save");
        }
        if (start + length > in.limit()) {
            throw truncated(path, "the header needs " + length + " bytes");
        }
        byte[] text = new byte[(int) length];
        in.get(start, text);
        String dict = new String(text, version == 3 ? StandardCharsets.UTF_8 : StandardCharsets.ISO_8859_1);
        return new Parser(path, dict).parse(start + text.length);
    }

    private static void checkMagic(Path path, ByteBuffer in) {
        int n = Math.min(MAGIC.length, in.limit());
        for (int i = 0; i < n; i++) {
            if (in.get(i) != MAGIC[i]) {
                throw new InputException(
                        path.toString(),
                        "not a npy file (it does not start with \\x93NUMPY)",
                        "Give a file written by numpy.save");
            }
        }
    }

    static InputException truncated(Path path, String detail) {
        return new InputException(path.toString(), "the file is truncated: " + detail, "Copy or download it again");
    }

    /** Parses the dictionary: a Python literal with exactly the keys descr, fortran_order and shape. */
    private static final class Parser {
        private final Path path;
        private final String s;
        private int i;
        private @Nullable String descr;
        private @Nullable Boolean fortran;
        private long @Nullable [] shape;

        Parser(Path path, String s) {
            this.path = path;
            this.s = s;
        }

        NpyHeader parse(int offset) {
            dictionary();
            if (descr == null || fortran == null || shape == null) {
                throw bad("a field of descr, fortran_order, shape is missing");
            }
            NpyType type = type(descr);
            if (fortran) {
                throw new InputException(
                        path.toString(),
                        "the array is in Fortran (column-major) order",
                        "Save it with numpy.ascontiguousarray(a)");
            }
            return new NpyHeader(type, shape, offset);
        }

        private void dictionary() {
            expect('{');
            while (peek() != '}') {
                String key = string();
                expect(':');
                if (!field(key)) {
                    throw bad("field '" + key + "' comes twice");
                }
                if (peek() != '}') {
                    expect(',');
                }
            }
            expect('}');
            skip();
            if (i < s.length()) {
                throw bad("text after the dictionary");
            }
        }

        /** Reads the value of a field; false if the field came before. */
        private boolean field(String key) {
            boolean fresh;
            switch (key) {
                case "descr" -> {
                    fresh = descr == null;
                    descr = descr();
                }
                case "fortran_order" -> {
                    fresh = fortran == null;
                    fortran = bool();
                }
                case "shape" -> {
                    fresh = shape == null;
                    shape = tuple();
                }
                default -> throw bad("unknown field " + InputFiles.quote(key));
            }
            return fresh;
        }

        private String descr() {
            if (peek() == '[' || peek() == '(') {
                throw new InputException(
                        path.toString(),
                        "header field 'descr' is a structured type",
                        "Save one field as a plain array");
            }
            return string();
        }

        private NpyType type(String descr) {
            NpyType type = NpyType.of(descr);
            if (type == null && descr.startsWith(">")) {
                throw new InputException(
                        path.toString(),
                        "header field 'descr' " + InputFiles.quote(descr) + " is big-endian",
                        "Save it with a.astype(a.dtype.newbyteorder('<'))");
            }
            if (type == null) {
                throw new InputException(
                        path.toString(),
                        "header field 'descr' " + InputFiles.quote(descr) + " is not a supported element type",
                        "Save it with a.astype('float32') or an integer type");
            }
            return type;
        }

        private char peek() {
            skip();
            return i < s.length() ? s.charAt(i) : 0;
        }

        private void skip() {
            while (i < s.length() && (s.charAt(i) == ' ' || s.charAt(i) == '\n')) {
                i++;
            }
        }

        private void expect(char c) {
            if (peek() != c) {
                throw bad("'" + c + "' expected at character " + i);
            }
            i++;
        }

        private String string() {
            char quote = peek();
            int end = quote == '\'' || quote == '"' ? s.indexOf(quote, i + 1) : -1;
            if (end < 0) {
                throw bad("a string expected at character " + i);
            }
            String value = s.substring(i + 1, end);
            i = end + 1;
            return value;
        }

        private boolean bool() {
            skip();
            for (String word : new String[] {"True", "False"}) {
                if (s.startsWith(word, i)) {
                    i += word.length();
                    return word.equals("True");
                }
            }
            throw bad("True or False expected at character " + i);
        }

        private long[] tuple() {
            long[] out = new long[MAX_RANK];
            int n = 0;
            expect('(');
            while (peek() != ')') {
                if (n == MAX_RANK) {
                    throw bad("more than " + MAX_RANK + " axes");
                }
                int start = i;
                long v = 0;
                for (; i < s.length() && s.charAt(i) >= '0' && s.charAt(i) <= '9'; i++) {
                    if (i - start == 18) {
                        throw bad("an axis of more than 18 digits");
                    }
                    v = 10 * v + s.charAt(i) - '0';
                }
                if (i == start) {
                    throw bad("a length expected at character " + i);
                }
                out[n++] = v;
                if (peek() == 'L') { // Python 2 long integers end in L
                    i++;
                }
                if (n == 1 || peek() != ')') { // (3,) is a tuple, (3) is not
                    expect(',');
                }
            }
            expect(')');
            return Arrays.copyOf(out, n);
        }

        private InputException bad(String problem) {
            return new InputException(path + ", header", problem, "The file is damaged; save it again with numpy.save");
        }
    }
}
