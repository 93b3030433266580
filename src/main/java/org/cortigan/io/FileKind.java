// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.cortigan.InputException;

/**
 * Names what a file is by its first bytes, for messages about a file that is not what its name says. The signatures are
 * those of the formats' specifications.
 */
public final class FileKind {
    /** Number of first bytes that tell all kinds apart; fewer do where a file has fewer. */
    public static final int START = 512;

    private static final String GET_PAGE =
            "Download the file itself; the server may want a login, or a licence accepted, first";
    /** What to do about a model in several files. */
    public static final String JOIN =
            "Join them: transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(OUT, max_shard_size='100GB')";

    private static final String COPY_AGAIN = "Copy or download the file again";
    private static final String FROM_MGH =
            "Save its values as npy: numpy.save('x.npy', nibabel.load('x.mgz').get_fdata().squeeze())";
    private static final String UNKNOWN = "a file of unknown kind";
    private static final String UNPACK = "Unpack it and give the file in it";

    /**
     * A signature.
     *
     * @param at offset of the bytes in the file
     * @param bytes one character a byte
     * @param what name of the kind, with its article
     * @param remedy what to do about it; empty if that depends on the file that was wanted
     */
    private record Signature(int at, String bytes, String what, String remedy) {
        Signature(int at, String bytes, String what) {
            this(at, bytes, what, "");
        }

        /** A kind that no fixed bytes tell. */
        static Signature kind(String what, String remedy) {
            return new Signature(0, "", what, remedy);
        }

        static Signature kind(String what) {
            return kind(what, "");
        }
    }

    /** The first that fits names the kind. */
    private static final List<Signature> SIGNATURES = List.of(
            new Signature(0, "\u0089PNG\r\n\u001a\n", "a PNG picture"),
            new Signature(0, "\u00ff\u00d8\u00ff", "a JPEG picture"),
            new Signature(8, "WEBP", "a WebP picture"),
            new Signature(0, "GIF8", "a GIF picture"),
            new Signature(0, "II*\0", "a TIFF picture"),
            new Signature(0, "MM\0*", "a TIFF picture"),
            new Signature(0, "II+\0", "a TIFF picture"),
            new Signature(0, "MM\0+", "a TIFF picture"),
            new Signature(0, "II\u00bc", "a JPEG XR picture"),
            new Signature(4, "ftypavi", "an AVIF picture"),
            new Signature(4, "ftyphe", "a HEIC picture"),
            new Signature(4, "ftypmif1", "a HEIC picture"),
            new Signature(4, "ftypmsf1", "a HEIC picture"),
            new Signature(4, "ftyp", "an MP4 or QuickTime movie"),
            new Signature(0, "\0\0\0\fJXL ", "a JPEG XL picture"),
            new Signature(0, "\u00ff\n", "a JPEG XL picture"),
            new Signature(0, "\0\0\0\fjP  ", "a JPEG 2000 picture"),
            new Signature(0, "\u00ffO\u00ffQ", "a JPEG 2000 picture"),
            new Signature(0, "8BPS", "a Photoshop picture"),
            new Signature(0, "\0\0\1\0", "an icon (ICO)"),
            new Signature(0, "qoif", "a QOI picture"),
            new Signature(0, "v/1\1", "an OpenEXR picture"),
            new Signature(0, "%PDF", "a PDF document"),
            new Signature(0, "\0\5\26\7", "a Mac's AppleDouble file, without the data", COPY_AGAIN),
            new Signature(0, "\u0093NUMPY", "a npy file of numpy"),
            new Signature(0, "\u0089HDF\r\n\u001a\n", "an HDF5 file"),
            new Signature(0, "MATLAB ", "a MAT file of MATLAB"),
            new Signature(344, "n+1\0", "a NIfTI volume"),
            new Signature(4, "n+2\0", "a NIfTI volume"),
            new Signature(0, "\\\1\0\0", "a NIfTI or Analyze volume"),
            new Signature(0, "\0\0\1\\", "a NIfTI or Analyze volume"),
            new Signature(0, "\u00ff\u00ff\u00fe", "a FreeSurfer surface"),
            new Signature(0, "\u00ff\u00ff\u00ff", "a FreeSurfer file of values"),
            new Signature(0, "GGUF", "a GGUF model"),
            new Signature(0, "\u0080\2\u008a\nl\u00fc\u009cF\u00f9 j\u00a8P\u0019", "a PyTorch file of the old form"),
            new Signature(0, "\u0080\2", "a Python pickle"),
            new Signature(0, "\u0080\3", "a Python pickle"),
            new Signature(0, "\u0080\4", "a Python pickle"),
            new Signature(0, "\u0080\5", "a Python pickle"),
            new Signature(0, "PK\5\6", "an empty zip archive", COPY_AGAIN),
            new Signature(0, "\u001f\u008b", "a gzip-compressed file", UNPACK),
            new Signature(0, "BZh", "a bzip2-compressed file", UNPACK),
            new Signature(0, "\u00fd7zXZ", "an xz-compressed file", UNPACK),
            new Signature(0, "(\u00b5/\u00fd", "a zstd-compressed file", UNPACK),
            new Signature(0, "7z\u00bc\u00af", "a 7z archive", UNPACK),
            new Signature(0, "Rar!", "a RAR archive", UNPACK),
            new Signature(257, "ustar", "a tar archive", UNPACK),
            new Signature(
                    0, "version https://git-lfs", "a Git LFS pointer, not the data", "Run git lfs pull in its folder"));

    private FileKind() {}

    /**
     * What a file is.
     *
     * @param file only its name is used, to tell archives apart
     * @param start the file's first bytes, at most {@link #START} of use
     * @return the kind with its article, such as {@code "a WebP picture"}; in one line
     */
    public static String describe(Path file, byte[] start) {
        return find(file, start).what;
    }

    /**
     * The exception for a file that is not what was wanted. It says what the file is, and how to get the right one.
     *
     * @param wanted what was wanted, such as {@code "PNG or JPEG file"}
     * @param remedy used if the kind has no remedy of its own, as a Git LFS pointer has
     */
    public static InputException refusal(Path file, byte[] start, String wanted, String remedy) {
        Signature kind = find(file, start);
        return new InputException(
                file.toString(), "is no " + wanted + " but " + kind.what, kind.remedy.isEmpty() ? remedy : kind.remedy);
    }

    /** Whether nothing tells what a file is. */
    static boolean isUnknown(Path file, byte[] start) {
        return start.length > 0 && find(file, start).what.startsWith(UNKNOWN);
    }

    private static Signature find(Path file, byte[] start) {
        if (start.length == 0) return Signature.kind("an empty file", COPY_AGAIN);
        String s = new String(start, 0, Math.min(start.length, START), ISO_8859_1);
        if (isMgh(start)) return Signature.kind("a FreeSurfer MGH file", FROM_MGH);
        if (s.startsWith("\u001f\u008b") && file.toString().matches("(?i).*\\.(mgz|mgh\\.gz)"))
            return Signature.kind("a compressed FreeSurfer MGH file", FROM_MGH);
        for (Signature k : SIGNATURES) if (s.startsWith(k.bytes, k.at)) return k;
        if (s.startsWith("PK\3\4")) return zip(file, s);
        if (s.startsWith("BM") && s.startsWith("\0\0\0\0", 6)) return Signature.kind("a BMP picture");
        if (s.chars().allMatch(c -> c == 0)) return Signature.kind("a file of zeros", COPY_AGAIN);
        if (safetensors(start)) return Signature.kind("a safetensors file");
        String text =
                new String(start, 0, s.length(), UTF_8).replace("\ufeff", "").strip();
        return isText(text) ? text(text) : unknown(start);
    }

    private static Signature zip(Path file, String s) {
        String first =
                s.length() < 30 ? "" : s.substring(30, Math.min(s.length(), 30 + (s.charAt(26) | s.charAt(27) << 8)));
        if (first.endsWith(".npy") || file.toString().endsWith(".npz")) return Signature.kind("a npz archive of numpy");
        // torch.save writes data.pkl into a folder of the archive first.
        if (first.endsWith("/data.pkl")) return Signature.kind("a PyTorch file");
        return Signature.kind("a zip archive", UNPACK);
    }

    /** Version 1, four sizes that are not 0, and a type: 0, 1, 3, 4 or another small number. */
    private static boolean isMgh(byte[] start) {
        if (start.length < 24) return false;
        int[] head = new int[6];
        ByteBuffer.wrap(start).asIntBuffer().get(head);
        return head[0] == 1 && Arrays.stream(head, 1, 5).allMatch(n -> n > 0) && head[5] >= 0 && head[5] < 16;
    }

    private static boolean safetensors(byte[] start) {
        if (start.length < 9 || start[8] != '{') return false;
        long header = ByteBuffer.wrap(start).order(ByteOrder.LITTLE_ENDIAN).getLong();
        return header > 0 && header <= Integer.MAX_VALUE;
    }

    /** No control characters, and no byte that is not UTF-8, but for a character cut off at the end. */
    private static boolean isText(String s) {
        return s.chars().noneMatch(c -> c < ' ' && "\n\r\t".indexOf(c) < 0 || c == 0x7f)
                && s.substring(0, Math.max(0, s.length() - 1)).indexOf('\ufffd') < 0;
    }

    private static Signature text(String s) {
        String lower = s.toLowerCase(Locale.ROOT);
        if (lower.startsWith("<!doctype html") || lower.startsWith("<html") || lower.startsWith("<head"))
            return Signature.kind("an HTML page", GET_PAGE);
        if (s.contains("annex/objects/"))
            return Signature.kind("a git-annex pointer, not the data", "Run git annex get on it");
        if (s.contains("<svg")) return Signature.kind("an SVG drawing");
        if (s.contains("<GIFTI")) return Signature.kind("a GIFTI file");
        if (s.contains("<Error>")) return Signature.kind("a server's error message", GET_PAGE);
        if (s.startsWith("<?xml")) return Signature.kind("an XML text");
        if (s.isEmpty()) return Signature.kind("a text of blanks", COPY_AGAIN);
        if (s.startsWith("{") && (s.contains("\"weight_map\"") || s.contains("\"total_size\"")))
            return Signature.kind("the index of a model in several files", JOIN);
        return Signature.kind(
                "a text that begins " + InputFiles.quote(s.lines().findFirst().orElse(s)));
    }

    private static Signature unknown(byte[] start) {
        StringBuilder s = new StringBuilder(UNKNOWN + " that begins with the bytes");
        for (int i = 0; i < Math.min(start.length, 8); i++) s.append(String.format(Locale.ROOT, " %02x", start[i]));
        return Signature.kind(s.toString());
    }
}
