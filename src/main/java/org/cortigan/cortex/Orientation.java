// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;

/**
 * How a picture is to be turned for looking at it, from its metadata: EXIF (CIPA DC-008, tag 0x0112 of the first
 * directory), or where EXIF has no such tag, XMP (tiff:Orientation). The places that are read, and their order, are
 * those of Pillow's {@code ImageOps.exif_transpose}. Damaged metadata say nothing.
 */
final class Orientation {
    private static final String EXIF = "Exif\0\0", XMP = "http://ns.adobe.com/xap/1.0/\0";
    private static final List<String> KEYWORDS = List.of("exif", "Raw profile type exif", "XML:com.adobe.xmp");
    private static final List<String> BYTE_ORDERS = List.of("II*\0", "II\0*", "MM\0*", "MM*\0");
    private static final int TAG = 0x112;
    /** Bytes of a value of each of TIFF's types; 0 for an unknown type. */
    private static final int[] BYTES = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};

    private static final Pattern IN_XMP = Pattern.compile("tiff:Orientation(?:=\"|>)([0-9])");
    /** Unpacked texts of PNG are read up to this size, in bytes. */
    private static final int MAX_TEXT = 1 << 20;

    private byte @Nullable [] exif;
    private @Nullable String profile, xmp;

    /** Reads an APP1 segment of a JPEG file; several blocks of EXIF are parts of one. */
    void jpegSegment(byte[] segment) {
        String text = new String(segment, ISO_8859_1);
        if (text.startsWith(EXIF)) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            if (exif != null) all.writeBytes(exif);
            all.write(segment, EXIF.length(), segment.length - EXIF.length());
            exif = all.toByteArray();
        } else if (text.startsWith(XMP)) {
            xmp = text.substring(XMP.length());
        }
    }

    /** Reads an ancillary chunk of a PNG file. */
    void pngChunk(String type, byte[] chunk) {
        if (type.equals("eXIf")) exif = chunk;
        else if (type.endsWith("Xt")) pngText(type, chunk);
    }

    /** A text chunk: a keyword, then what depends on the type, then the text. */
    private void pngText(String type, byte[] chunk) {
        int at = behindZero(chunk, 0);
        String keyword = new String(chunk, 0, Math.min(chunk.length, at - 1), ISO_8859_1);
        boolean packed = type.equals("zTXt");
        if (packed) at++; // the method, of which there is one
        if (type.equals("iTXt")) {
            packed = at < chunk.length && chunk[at] != 0;
            at = behindZero(chunk, behindZero(chunk, at + 2)); // behind language and translated keyword
        }
        if (at > chunk.length || !KEYWORDS.contains(keyword)) return;
        byte[] text = Arrays.copyOfRange(chunk, at, chunk.length);
        if (packed) text = unpacked(text);
        if (keyword.equals(KEYWORDS.get(0))) exif = text;
        else if (keyword.equals(KEYWORDS.get(1))) profile = new String(text, ISO_8859_1);
        else if (text.length > 0) xmp = new String(text, ISO_8859_1);
    }

    private static int behindZero(byte[] bytes, int at) {
        while (at < bytes.length && bytes[at] != 0) at++;
        return at + 1;
    }

    private static byte[] unpacked(byte[] text) {
        Inflater inflater = new Inflater();
        try {
            inflater.setInput(text);
            byte[] out = new byte[MAX_TEXT];
            return Arrays.copyOf(out, inflater.inflate(out));
        } catch (DataFormatException e) {
            return new byte[0];
        } finally {
            inflater.end();
        }
    }

    /** The orientation, 1 (upright) to 8. */
    int value() {
        byte[] block = exif != null ? exif : profile != null ? fromHex(profile) : new byte[0];
        int value = inExif(block);
        if (value == 0 && xmp != null) {
            Matcher m = IN_XMP.matcher(xmp);
            if (m.find()) value = m.group(1).charAt(0) - '0';
        }
        return value >= 1 && value <= 8 ? value : 1;
    }

    /** The bytes of ImageMagick's raw profiles: three lines, with name and length, then hexadecimal digits. */
    private static byte[] fromHex(String profile) {
        String[] lines = profile.split("\n", 4);
        try {
            return lines.length < 4 ? new byte[0] : HexFormat.of().parseHex(lines[3].replaceAll("\\s", ""));
        } catch (IllegalArgumentException e) {
            return new byte[0];
        }
    }

    /** The value of the tag: 0 if the block does not have it, 9 if it is no whole number from 1 to 8. */
    private static int inExif(byte[] block) {
        int start = 0;
        while (new String(block, start, Math.min(EXIF.length(), block.length - start), ISO_8859_1).equals(EXIF))
            start += EXIF.length();
        ByteBuffer in = ByteBuffer.wrap(block, start, block.length - start).slice();
        if (in.limit() < 8 || !BYTE_ORDERS.contains(new String(block, start, 4, ISO_8859_1))) return 0;
        in.order(in.get(0) == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        long directory = u32(in, 4);
        if (directory + 2 > in.limit()) return 0;
        int entries = in.getShort((int) directory) & 0xffff, found = 0;
        for (int i = 0, at = (int) directory + 2; i < entries && at + 12 <= in.limit(); i++, at += 12) {
            int type = in.getShort(at + 2) & 0xffff;
            if (in.getShort(at) != TAG || type >= BYTES.length) continue;
            // A value of at most 4 bytes lies in the entry, at its beginning; a longer one where the entry says.
            long size = BYTES[type] * u32(in, at + 4), where = size > 4 ? u32(in, at + 8) : at + 8;
            if (size == 0 || where + size > in.limit()) continue;
            double v = number(in, type, (int) where);
            found = v >= 1 && v <= 8 && v == (int) v ? (int) v : 9;
        }
        return found;
    }

    /** A number of one of TIFF's types; NaN for a type that is no number to Pillow. */
    private static double number(ByteBuffer in, int type, int at) {
        return switch (type) {
            case 3 -> in.getShort(at) & 0xffff;
            case 4, 13 -> u32(in, at);
            case 5 -> (double) u32(in, at) / u32(in, at + 4);
            case 6 -> in.get(at);
            case 8 -> in.getShort(at);
            case 9 -> in.getInt(at);
            case 10 -> (double) in.getInt(at) / in.getInt(at + 4);
            case 11 -> in.getFloat(at);
            case 12 -> in.getDouble(at);
            case 16 -> in.getLong(at);
            default -> Double.NaN;
        };
    }

    private static long u32(ByteBuffer in, int at) {
        return in.getInt(at) & 0xffffffffL;
    }
}
