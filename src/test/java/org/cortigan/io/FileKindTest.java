// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class FileKindTest {
    private static String of(String name, String bytes) {
        return FileKind.describe(Path.of(name), bytes.getBytes(ISO_8859_1));
    }

    private static String at(int offset, String bytes) {
        return of("x", "\1".repeat(offset) + bytes + "\2\3");
    }

    @Test
    void signaturesAreNamed() {
        assertEquals("a WebP picture", of("a.jpg", "RIFF\u0012\0\0\0WEBPVP8 "));
        assertEquals("a PNG picture", of("x", "\u0089PNG\r\n\u001a\n\0\0\0\r"));
        assertEquals("a JPEG picture", of("x", "\u00ff\u00d8\u00ff\u00e0"));
        assertEquals("a GIF picture", of("a.png", "GIF89a"));
        assertEquals("a BMP picture", of("a.png", "BM\u00fa\1\0\0\0\0\0\0\u008a\0"));
        assertEquals("a TIFF picture", of("a.png", "MM\0*\0\0\0\b"));
        assertEquals("a HEIC picture", of("IMG_1.jpg", "\0\0\0\u0024ftypheic\0\0\0\0"));
        assertEquals("an AVIF picture", of("x", "\0\0\0\u0024ftypavif\0\0\0\0"));
        assertEquals("an MP4 or QuickTime movie", of("x", "\0\0\0\u0024ftypqt  "));
        assertEquals("an HDF5 file", of("x.npy", "\u0089HDF\r\n\u001a\n"));
        assertEquals("a npy file of numpy", of("x.png", "\u0093NUMPY\1\0"));
        assertEquals("a Python pickle", of("x.npy", "\u0080\4\u0095"));
        assertEquals("a FreeSurfer MGH file", of("x.npy", "\0\0\0\1\0\2\u0080\2\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\3"));
        assertEquals("a compressed FreeSurfer MGH file", of("lh.MGZ", "\u001f\u008b\b"));
        assertEquals("a gzip-compressed file", of("lh.npy.gz", "\u001f\u008b\b"));
        assertEquals("a NIfTI volume", at(344, "n+1\0"));
        assertEquals("a tar archive", at(257, "ustar"));
    }

    @Test
    void archivesAreToldApartByTheirFirstFile() {
        String head = "PK\3\4" + "\0".repeat(22);
        assertEquals("a npz archive of numpy", of("x.npy", head + "\u0007\0\0\0arr.npy\u0093"));
        assertEquals("a npz archive of numpy", of("x.npz", head));
        assertEquals("a PyTorch file", of("model.safetensors", head + "\u0010\0\0\0archive/data.pkl\u0080"));
        assertEquals("a zip archive", of("x", head + "\5\0\0\0a.txt"));
        assertEquals("a zip archive", of("x", "PK\3\4"));
    }

    @Test
    void textsAreNamedAndQuotedInOneLine() {
        assertTrue(of("x", "version https://git-lfs.github.com/spec/v1\noid").startsWith("a Git LFS pointer"));
        assertEquals("an HTML page", of("x", "\n <!DOCTYPE HTML PUBLIC>\n"));
        assertEquals("an HTML page", of("x", new String("\ufeff<html>".getBytes(UTF_8), ISO_8859_1)));
        assertEquals("a server's error message", of("x", "<?xml version='1.0'?><Error><Code>AccessDenied"));
        assertTrue(of("x", "../../.git/annex/objects/Zk/9X/MD5E-s3.png").startsWith("a git-annex pointer"));
        assertEquals("a text that begins 'Not Found'", of("x", "Not Found\nnginx"));
        assertEquals("an empty file", of("x", ""));
        assertEquals("a file of zeros", of("x", "\0\0\0\0\0\0\0\0"));
        assertEquals("a safetensors file", of("x", "\10\0\0\0\0\0\0\0{}      "));
        assertEquals("a file of unknown kind that begins with the bytes 01 02 fe", of("x", "\1\2\u00fe"));
    }

    @Test
    void aKindsOwnRemedyReplacesTheCallers() {
        Path p = Path.of("lh.npy");
        byte[] pointer = "version https://git-lfs.github.com/spec/v1".getBytes(UTF_8);
        assertEquals(
                "lh.npy: is no npy file but a Git LFS pointer, not the data. Run git lfs pull in its folder",
                FileKind.refusal(p, pointer, "npy file", "Save it with numpy").getMessage());
        assertEquals(
                "lh.npy: is no npy file but a WebP picture. Save it with numpy",
                FileKind.refusal(p, "RIFF....WEBP".getBytes(UTF_8), "npy file", "Save it with numpy")
                        .getMessage());
    }

    @Test
    void anyBytesGiveOneShortLine() {
        SplittableRandom random = new SplittableRandom(1);
        for (int i = 0; i < 20_000; i++) {
            byte[] b = new byte[random.nextInt(40)];
            random.nextBytes(b);
            if (i % 2 == 0) for (int k = 0; k < b.length; k++) b[k] = (byte) (b[k] & 0x7f); // often text
            if (i % 3 == 0) System.arraycopy("PK\3\4".getBytes(UTF_8), 0, b, 0, Math.min(4, b.length));
            String s = FileKind.describe(Path.of("x"), b);
            assertFalse(s.isBlank() || s.length() > 270 || s.chars().anyMatch(c -> c < ' ' || c > '~'), s);
        }
    }
}
