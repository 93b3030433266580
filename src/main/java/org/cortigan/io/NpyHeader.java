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
 * @param fortran whether the first axis varies fastest; false for an array of at most one axis
 * @param offset position of the first byte after the header
 */
record NpyHeader(NpyType type, boolean bigEndian, boolean fortran, long[] shape, int offset) {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    /** numpy.load reads no longer header either. */
    private static final int MAX_DICTIONARY_BYTES = 10_000;

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
        return new Parser(path, dict, version < 3).parse(start + text.length);
    }

    private static void checkMagic(Path path, ByteBuffer in) {
        int n = Math.min(MAGIC.length, in.limit());
        for (int i = 0; i < n; i++) {
            if (in.get(i) != MAGIC[i]) {
                byte[] start = new byte[Math.min(FileKind.START, in.limit())];
                in.get(0, start);
                throw FileKind.refusal(path, start, "npy file", "Give a file written by numpy.save");
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
        private final boolean longs;
        private int i;
        private @Nullable String descr;
        private @Nullable Boolean fortran;
        private long @Nullable [] shape;

        /** @param longs whether integers may end in L, as Python 2 wrote them */
        Parser(Path path, String s, boolean longs) {
            this.path = path;
            this.s = s;
            this.longs = longs;
        }

        NpyHeader parse(int offset) {
            dictionary();
            if (descr == null || fortran == null || shape == null) {
                throw bad("a field of descr, fortran_order, shape is missing");
            }
            NpyType type = type(descr);
            boolean bigEndian = descr.startsWith(">") && type.bytes() > 1;
            return new NpyHeader(type, bigEndian, fortran && shape.length > 1, shape, offset);
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
            if (type == null) {
                String code = descr.replaceFirst("^[<>=|]", "");
                boolean text = code.matches("[SUa]\\d*|str_?|bytes_?"),
                        complex = code.matches("c\\d*|[FDG]|c(single|double|longdouble)|complex.*"),
                        wide = code.matches("f(12|16)|g|longdouble|float(96|128)");
                throw new InputException(
                        path.toString(),
                        "header field 'descr' " + InputFiles.quote(descr) + " is not a supported element type"
                                + (text ? " (text)" : complex ? " (complex numbers)" : wide ? " (long double)" : ""),
                        text
                                ? "Save numbers; save an ROI mapping as a dict, numpy.save(path, {1: 'V1v'})"
                                : complex
                                        ? "Save its real part, or its magnitude, numpy.abs(a)"
                                        : "Save it with a.astype('"
                                                + (wide ? "float64')" : "float32') or an integer type"));
            }
            return type;
        }

        private char peek() {
            skip();
            return i < s.length() ? s.charAt(i) : 0;
        }

        private void skip() {
            while (i < s.length() && " \t\f\r\n#".indexOf(s.charAt(i)) >= 0) {
                int line = s.charAt(i) == '#' ? s.indexOf('\n', i) : i; // # begins a comment
                i = line < 0 ? s.length() : line + 1;
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
            if (quote == 'u' || quote == 'U') { // Python 2's mark of a Unicode string, which Python 3 still reads
                i++;
                quote = i < s.length() ? s.charAt(i) : 0;
            }
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
                if (s.charAt(start) == '0' && v > 0) {
                    throw bad("a length with a leading zero at character " + start);
                }
                out[n++] = v;
                if (longs && peek() == 'L') {
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
