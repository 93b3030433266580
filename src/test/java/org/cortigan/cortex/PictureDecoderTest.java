// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Pictures of all modes, depths and variants, compared with what Pillow reads (tools/golden_images.py). */
class PictureDecoderTest {
    @TempDir
    Path dir;

    private static final Map<String, byte[]> FILES = new TreeMap<>();

    static {
        try (InputStream in = PictureDecoderTest.class.getResourceAsStream("/images/pictures.zip");
                ZipInputStream zip = new ZipInputStream(Objects.requireNonNull(in))) {
            for (ZipEntry e = zip.getNextEntry(); e != null; e = zip.getNextEntry())
                FILES.put(e.getName(), zip.readAllBytes());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static List<String> pictures() {
        return FILES.keySet().stream()
                .filter(n -> n.endsWith(".png") || n.endsWith(".jpg"))
                .toList();
    }

    private static String stem(String name) {
        return name.substring(0, name.lastIndexOf('.'));
    }

    private static Rgb ppm(byte[] file) {
        String[] head = new String(file, StandardCharsets.ISO_8859_1).split("\\s", 4);
        int w = Integer.parseInt(head[1]), h = Integer.parseInt(head[2]);
        return new Rgb(Arrays.copyOfRange(file, file.length - 3 * w * h, file.length), h, w);
    }

    /** The largest difference of two pictures; 999 if their sizes differ. */
    private static int difference(Rgb a, Rgb b) {
        if (a.width() != b.width() || a.height() != b.height()) return 999;
        int most = 0;
        for (int i = 0; i < a.pixels().length; i++)
            most = Math.max(most, Math.abs((a.pixels()[i] & 0xff) - (b.pixels()[i] & 0xff)));
        return most;
    }

    /** Luminance, which does not depend on how chroma is interpolated. */
    private static Rgb luminance(Rgb image) {
        byte[] p = image.pixels().clone();
        for (int i = 0; i < p.length; i += 3)
            p[i] = p[i + 1] = p[i + 2] =
                    (byte) Math.round(0.299 * (p[i] & 0xff) + 0.587 * (p[i + 1] & 0xff) + 0.114 * (p[i + 2] & 0xff));
        return new Rgb(p, image.height(), image.width());
    }

    @Test
    void pixelsAreThoseOfPillow() {
        List<String> wrong = new ArrayList<>();
        int compared = 0;
        for (String name : pictures()) {
            byte[] expected = FILES.get(stem(name) + ".ppm"), upright = FILES.get(stem(name) + ".upright.ppm");
            if (expected == null) continue;
            compared++;
            try {
                Photograph p = PictureDecoder.decode(FILES.get(name));
                Rgb e = ppm(expected), got = p.stored();
                // JPEG decoders agree to the bit, but for the chroma of 4:4:0. Rounding red, green and blue to
                // integers then moves luminance by up to 1/2, and so does rounding luminance itself.
                int most = name.equals("rgb-440.jpg") ? difference(luminance(e), luminance(got)) : difference(e, got);
                if (most > (name.equals("rgb-440.jpg") ? 2 : 0)) wrong.add(name + " differs by " + most);
                if (upright != null && difference(ppm(upright), p.upright()) > 0) wrong.add(name + " is turned wrong");
                if (upright == null && p.orientation() != 1) wrong.add(name + " has no orientation");
            } catch (IOException | RuntimeException | PictureDecoder.Unsupported e) {
                wrong.add(name + ": " + e);
            }
        }
        assertEquals(List.of(), wrong, compared + " compared");
        assertTrue(compared > 180, compared + " compared");
    }

    @Test
    void otherKindsOfJpegAreRefusedByName() throws Exception {
        Map<String, String> words = Map.of(
                "refused-12-bit.jpg", "12-bit samples",
                "refused-arithmetic.jpg", "arithmetic coding",
                "refused-lossless.jpg", "lossless",
                "refused-2-components.jpg", "2 components");
        for (String name : pictures()) {
            if (FILES.containsKey(stem(name) + ".ppm")) continue;
            String message = refusal(name, FILES.get(name));
            assertTrue(message.contains(name + ": is a ") && message.contains(words.get(name)), message);
            assertTrue(message.contains("Save it as PNG"), message);
        }
    }

    @Test
    void whatIsNoPngOrJpegIsNamed() throws Exception {
        assertTrue(refusal("a.jpg", "RIFF....WEBPVP8 ".getBytes(StandardCharsets.UTF_8))
                .contains("a.jpg: is no PNG or JPEG file but a WebP picture. Convert it"));
        assertTrue(refusal("a.png", new byte[0]).contains("an empty file"));
        assertTrue(refusal("a.png", "<!DOCTYPE html>".getBytes(StandardCharsets.UTF_8))
                .contains("an HTML page"));
        Path link = Files.createSymbolicLink(dir.resolve("link.png"), Path.of(".git/annex/objects/x.png"));
        String message =
                assertThrows(InputException.class, () -> Images.read(link)).getMessage();
        assertTrue(message.contains("a symbolic link to '.git/annex/objects/x.png'"), message);
    }

    @Test
    void aHugePictureIsRefusedBeforeMemoryIsTaken() throws Exception {
        byte[] png = FILES.get("rgb-8.png").clone(),
                jpeg = FILES.get("rgb-444.jpg").clone();
        CRC32 crc = new CRC32();
        ByteBuffer.wrap(png).putInt(16, 1_000_000).putInt(20, 1_000_000);
        assertTrue(refusal("a.png", png).contains("is truncated or damaged: a checksum is wrong"));
        crc.update(png, 12, 17);
        ByteBuffer.wrap(png).putInt(29, (int) crc.getValue());
        assertTrue(refusal("a.png", png).contains("1000000 x 1000000 pixels"));
        int sof = 2;
        while ((jpeg[sof + 1] & 0xff) != 0xc0) sof += 2 + ByteBuffer.wrap(jpeg).getShort(sof + 2);
        ByteBuffer.wrap(jpeg).putShort(sof + 5, (short) 65500).putShort(sof + 7, (short) 65500);
        assertTrue(refusal("a.jpg", jpeg).contains("65500 x 65500 pixels"));
        ByteBuffer.wrap(jpeg).putShort(sof + 5, (short) 0);
        assertTrue(refusal("a.jpg", jpeg).contains("65500 x 0 pixels"));
    }

    private String refusal(String name, byte[] bytes) throws IOException {
        Path p = Files.write(dir.resolve(name), bytes);
        return assertThrows(InputException.class, () -> Images.read(p)).getMessage();
    }

    /** A part of a file is refused, or, if only bytes behind the pixels lack, it has the same pixels. */
    @Test
    void noPartOfAFileGivesOtherPixels() throws Exception {
        SplittableRandom random = new SplittableRandom(1);
        int refused = 0;
        for (String name : pictures()) {
            if (!FILES.containsKey(stem(name) + ".ppm")) continue;
            byte[] file = FILES.get(name);
            Rgb whole = PictureDecoder.decode(file).stored();
            for (int k = 0; k < 6; k++) {
                int length = k == 0 ? file.length - 2 : random.nextInt(file.length);
                try {
                    Photograph part = PictureDecoder.decode(Arrays.copyOf(file, length));
                    assertEquals(0, difference(whole, part.stored()), name + " cut at " + length);
                } catch (IOException | RuntimeException e) {
                    refused++;
                }
            }
        }
        assertTrue(refused > 800, refused + " refused");
    }

    @Test
    void aPngWithoutItsHeaderIsDamaged() throws Exception {
        byte[] file = FILES.get("rgb-8.png");
        byte[] junk = Arrays.copyOf(file, 80), headless = junk.clone();
        Arrays.fill(junk, 8, 80, (byte) 'j');
        headless[12] = 'J'; // IHDR
        for (byte[] bad : List.of(junk, headless))
            assertTrue(refusal("a.png", bad)
                    .contains("a.png: is truncated or damaged: it does not begin with a header. Copy"));
        assertTrue(refusal("a.png", Arrays.copyOf(file, 8)).contains("a.png: is truncated or damaged"));
    }

    /** A bit of the pixels' data that flips is noticed in PNG, where checksums tell. */
    @Test
    void damagedPngIsRefused() {
        byte[] file = FILES.get("rgb-8.png");
        for (int at = 8; at < file.length - 12; at++) { // up to the last chunk, which is empty
            byte[] bad = file.clone();
            bad[at] ^= 4;
            assertThrows(Exception.class, () -> PictureDecoder.decode(bad), "byte " + at);
        }
    }
}
