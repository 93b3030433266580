// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.cortigan.InputException;

/** The bytes of a pickle: opcodes and their arguments, in order. Errors name the position of the last opcode. */
final class PickleInput {
    private final Path path;
    private final ByteBuffer in;
    private int opAt;

    PickleInput(Path path, byte[] file, int offset) {
        this.path = path;
        in = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).position(offset);
    }

    int opcode() {
        opAt = in.position();
        return u8();
    }

    int remaining() {
        return in.remaining();
    }

    int u8() {
        return in.get(need(1)) & 0xff;
    }

    int u16() {
        return in.getShort(need(2)) & 0xffff;
    }

    int i32() {
        return in.getInt(need(4));
    }

    long i64() {
        return in.getLong(need(8));
    }

    /** Consumes the next {@code n} bytes and returns their position. */
    private int need(int n) {
        int at = in.position();
        if (n > in.remaining()) {
            throw new InputException(
                    path + ", byte " + opAt, "the pickle is truncated", "Copy or download the file again");
        }
        in.position(at + n);
        return at;
    }

    byte[] bytes(long n) {
        if (n < 0 || n > in.remaining()) {
            throw bad("a string of " + n + " bytes, but " + in.remaining() + " are left");
        }
        byte[] out = new byte[(int) n];
        in.get(out);
        return out;
    }

    String text(long n, Charset charset) {
        try {
            return charset.newDecoder().decode(ByteBuffer.wrap(bytes(n))).toString();
        } catch (CharacterCodingException e) {
            throw bad("a string that is not " + charset);
        }
    }

    /** Consumes a line including its newline, and returns the text before the newline. */
    String line() {
        int start = in.position();
        int end = start;
        while (end < in.limit() && in.get(end) != '\n') {
            end++;
        }
        need(end + 1 - start);
        byte[] raw = new byte[end - start];
        in.get(start, raw);
        return new String(raw, StandardCharsets.ISO_8859_1);
    }

    /** The integer that up to 18 decimal digits stand for. */
    long number(String digits) {
        if (!digits.matches("-?[0-9]{1,18}")) {
            throw bad("the integer " + InputFiles.quote(digits));
        }
        return Long.parseLong(digits);
    }

    /** Undoes the escapes of text instructions: {@code \\uXXXX} of UNICODE, or those of a Python 2 string. */
    String unescape(String s, boolean python) {
        StringBuilder out = new StringBuilder(s.length());
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            char kind = c == '\\' && i + 1 < s.length() ? s.charAt(i + 1) : 0;
            int digits = python ? kind == 'x' ? 2 : 0 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
            if (digits > 0) {
                if (i + 2 + digits > s.length()
                        || !s.substring(i + 2, i + 2 + digits).matches("[0-9a-fA-F]+")) {
                    throw bad("a damaged escape in a string");
                }
                long code = Long.parseLong(s.substring(i + 2, i + 2 + digits), 16);
                if (code > Character.MAX_CODE_POINT) {
                    throw bad("a damaged escape in a string");
                }
                out.appendCodePoint((int) code);
                i += 1 + digits;
            } else if (python && c == '\\') {
                int known = "nrt\\'\"".indexOf(kind);
                if (kind == 0 || known < 0) {
                    throw bad("a damaged escape in a string");
                }
                out.append("\n\r\t\\'\"".charAt(known));
                i++;
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }

    InputException refused(String what) {
        return new InputException(
                path + ", byte " + opAt,
                "the pickle is refused, because no ROI mapping needs this: " + what,
                "If you made this file, save numpy.save(path, dict(mapping)) with numbers as keys and strings as values;"
                        + " else do not trust it, and take the mapping from the original data set");
    }

    /** The exception for a key of the dict that is no ROI id. */
    InputException noId(String key) {
        return new InputException(
                path + ", byte " + opAt, "a key of the dict is " + key + ", no ROI id", NumpyPickle.REMEDY);
    }

    InputException bad(String problem) {
        return new InputException(
                path + ", byte " + opAt, "the pickle is malformed: " + problem, "Copy or download the file again");
    }
}
