// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.zip.CRC32;
import javax.imageio.ImageReader;
import javax.imageio.spi.IIORegistry;
import javax.imageio.spi.ImageReaderSpi;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.jspecify.annotations.Nullable;

/**
 * Decodes PNG and JPEG to the bytes that Pillow's {@code convert("RGB")} gives, with one exception: of 16-bit grey the
 * high byte is taken, as of all other 16-bit samples, where Pillow clips at 255. Samples are taken as they are stored:
 * colour profiles and gamma are ignored and transparency is dropped. Backbones were trained on pixels read so.
 *
 * <p>The JDK's own readers decompress, whatever other readers an application has on its class path. Of JPEG they give
 * the samples without a conversion of colours, because their conversions differ from JDK to JDK; the conversions here
 * are those of the JPEG library of the Independent JPEG Group and of Pillow. One thing still differs, by the JPEG
 * library that a JDK was built with: how chroma with half the rows but all columns (4:4:0) is interpolated.
 */
final class PictureDecoder {
    private static final long MAX_PIXELS = 200_000_000;
    private static final ImageReaderSpi PNG = reader("com.sun.imageio.plugins.png.PNGImageReaderSpi");
    private static final ImageReaderSpi JPEG = reader("com.sun.imageio.plugins.jpeg.JPEGImageReaderSpi");
    /** Types of chunks of PNG, and the type of colour in its header that stands for a palette. */
    private static final int IHDR = 0x49484452, PLTE = 0x504c5445, IEND = 0x49454e44, PALETTE = 3;

    private static final byte[] PNG_START = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

    private PictureDecoder() {}

    /** A picture of a kind that is not read, with the reason and the remedy. */
    static final class Unsupported extends Exception {
        private static final long serialVersionUID = 1L;
        final String problem;
        final String remedy;

        Unsupported(String problem, String remedy) {
            super(problem);
            this.problem = problem;
            this.remedy = remedy;
        }
    }

    private static ImageReaderSpi reader(String name) {
        Iterator<ImageReaderSpi> all =
                IIORegistry.getDefaultInstance().getServiceProviders(ImageReaderSpi.class, false);
        while (all.hasNext()) {
            ImageReaderSpi spi = all.next();
            if (spi.getClass().getName().equals(name)) return spi;
        }
        throw new IllegalStateException("this Java has no " + name + ", or the application has removed it");
    }

    /** Whether a file with these first bytes is for {@link #decode}. */
    static boolean reads(byte[] file) {
        return isPng(file) || file.length > 2 && u8(file, 0) == 0xff && u8(file, 1) == 0xd8 && u8(file, 2) == 0xff;
    }

    private static boolean isPng(byte[] file) {
        return file.length >= 8 && ByteBuffer.wrap(file, 0, 8).equals(ByteBuffer.wrap(PNG_START));
    }

    /**
     * Decodes a whole file.
     *
     * @throws IOException if it is truncated or damaged; a RuntimeException of the JDK's readers means the same
     */
    static Photograph decode(byte[] file) throws IOException, Unsupported {
        return isPng(file) ? png(file) : jpeg(file);
    }

    private static void checkSize(long width, long height) throws IOException, Unsupported {
        if (width < 1 || height < 1) throw new IOException("its header says " + width + " x " + height + " pixels");
        if (width * height > MAX_PIXELS)
            throw new Unsupported(
                    "has " + width + " x " + height + " pixels",
                    "Give images of at most " + MAX_PIXELS / 1_000_000 + " million pixels");
    }

    private static Photograph png(byte[] file) throws IOException, Unsupported {
        ByteBuffer b = ByteBuffer.wrap(file);
        Orientation orientation = new Orientation();
        int colours = Integer.MAX_VALUE;
        ByteArrayOutputStream needed = new ByteArrayOutputStream(file.length);
        needed.write(file, 0, 8);
        for (int at = 8, type = 0; type != IEND && at + 12 <= file.length; ) {
            int length = b.getInt(at);
            type = b.getInt(at + 4);
            if (at == 8 && (type != IHDR || length != 13)) throw new IOException("it does not begin with a header");
            if (length < 0 || length > file.length - at - 12) throw new IOException("it ends within a chunk");
            CRC32 crc = new CRC32();
            crc.update(file, at + 4, length + 4);
            boolean intact = (int) crc.getValue() == b.getInt(at + 8 + length);
            // A capital letter marks a chunk that pixels need. Faults of the others must not spoil a picture.
            if ((type >> 24 & 0x20) == 0) {
                if (!intact) throw new IOException("a checksum is wrong");
                if (type == IHDR) checkSize(b.getInt(at + 8), b.getInt(at + 12));
                if (type == PLTE && file[25] == PALETTE) colours = length / 3;
                needed.write(file, at, length + 12);
            } else if (intact) {
                orientation.pngChunk(
                        new String(file, at + 4, 4, StandardCharsets.ISO_8859_1),
                        Arrays.copyOfRange(file, at + 8, at + 8 + length));
            }
            at += length + 12;
        }
        ImageReader reader = PNG.createReaderInstance();
        try (ImageInputStream in = stream(needed.toByteArray())) {
            reader.setInput(in, true, true);
            BufferedImage image = reader.read(0);
            return new Photograph(rgb(image.getRaster(), image.getColorModel(), colours), orientation.value());
        } finally {
            reader.dispose();
        }
    }

    private static ImageInputStream stream(byte[] file) {
        return new MemoryCacheImageInputStream(new ByteArrayInputStream(file));
    }

    /**
     * Grey, grey with alpha, RGB, RGBA or a palette.
     *
     * @param colours number of colours in the palette; the JDK adds more, where those beyond it are black to Pillow
     */
    private static Rgb rgb(Raster raster, @Nullable ColorModel model, int colours) {
        int w = raster.getWidth(), h = raster.getHeight(), bands = raster.getNumBands();
        int shift = raster.getSampleModel().getSampleSize(0) - 8;
        byte[] out = new byte[Math.multiplyExact(w * h, 3)];
        int[] row = new int[w * bands];
        int g = bands < 3 ? 0 : 1, b = bands < 3 ? 0 : 2, o = 0;
        for (int y = 0; y < h; y++) {
            raster.getPixels(0, y, w, 1, row);
            if (model instanceof IndexColorModel palette)
                for (int x = 0; x < w; x++) {
                    int c = row[x] < colours ? palette.getRGB(row[x]) : 0;
                    out[o++] = (byte) (c >> 16);
                    out[o++] = (byte) (c >> 8);
                    out[o++] = (byte) c;
                }
            else
                for (int at = 0; at < row.length; at += bands) {
                    out[o++] = (byte) (row[at] >> shift);
                    out[o++] = (byte) (row[at + g] >> shift);
                    out[o++] = (byte) (row[at + b] >> shift);
                }
        }
        return new Rgb(out, h, w);
    }

    /**
     * What the segments say.
     *
     * @param luma whether the first three components are luma and chroma (YCbCr or YCCK)
     * @param orientation 1 to 8
     */
    private record JpegHeader(int components, boolean luma, int orientation) {
        private static final String RESAVE = "Save it as PNG, or as baseline or progressive JPEG";

        static JpegHeader read(byte[] file) throws IOException, Unsupported {
            int components = 0, ids = 0, adobe = -1;
            Orientation orientation = new Orientation();
            boolean jfif = false;
            for (int at = 2; ; ) {
                while (u8(file, at) != 0xff) at++;
                while (u8(file, at) == 0xff) at++;
                int marker = u8(file, at++);
                if (marker <= 1 || marker >= 0xd0 && marker <= 0xd8) continue; // no segment, or a byte of a scan
                // The walk goes on to the end of the image, because the decompressor passes on its first warning alone:
                // a harmless one would hide that the file is truncated.
                if (marker == 0xd9) break;
                int length = u16(file, at) - 2, body = at + 2;
                if (length < 0 || length > file.length - body) throw new IOException("it ends within a segment");
                if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
                    if (marker >= 0xc9) throw new Unsupported("is a JPEG picture with arithmetic coding", RESAVE);
                    if (marker >= 0xc3) throw new Unsupported("is a lossless or hierarchical JPEG picture", RESAVE);
                    int bits = u8(file, body);
                    if (bits != 8) throw new Unsupported("is a JPEG picture with " + bits + "-bit samples", RESAVE);
                    checkSize(u16(file, body + 3), u16(file, body + 1));
                    components = u8(file, body + 5);
                    if (components != 1 && components != 3 && components != 4)
                        throw new Unsupported("is a JPEG picture with " + components + " components", RESAVE);
                    if (components == 3) ids = u8(file, body + 6) << 16 | u8(file, body + 9) << 8 | u8(file, body + 12);
                } else if (marker == 0xe0 && length >= 14 && starts(file, body, "JFIF\0")) {
                    jfif = true;
                } else if (marker == 0xee && length >= 12 && starts(file, body, "Adobe")) {
                    adobe = u8(file, body + 11);
                } else if (marker == 0xe1) {
                    orientation.jpegSegment(Arrays.copyOfRange(file, body, body + length));
                }
                at = body + length;
            }
            if (components == 0) throw new IOException("it has no frame header");
            // The rules are those of libjpeg's default_decompress_parms.
            boolean luma = components == 4
                    ? adobe > 0
                    : components == 3 && (jfif || (adobe >= 0 ? adobe != 0 : ids != ('R' << 16 | 'G' << 8 | 'B')));
            return new JpegHeader(components, luma, orientation.value());
        }

        private static boolean starts(byte[] file, int at, String text) {
            for (int i = 0; i < text.length(); i++) if (u8(file, at + i) != text.charAt(i)) return false;
            return true;
        }
    }

    private static int u8(byte[] b, int at) {
        return b[at] & 0xff;
    }

    private static int u16(byte[] b, int at) {
        return u8(b, at) << 8 | u8(b, at + 1);
    }

    private static Photograph jpeg(byte[] file) throws IOException, Unsupported {
        JpegHeader header = JpegHeader.read(file);
        ImageReader reader = JPEG.createReaderInstance();
        List<String> warnings = new ArrayList<>();
        reader.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
        try (ImageInputStream in = stream(file)) {
            reader.setInput(in, true, true);
            Raster raster = reader.readRaster(0, null);
            // The decompressor fills missing parts with grey and only warns. Bytes between segments are harmless, but
            // not before a restart marker, where they mean that a part was not understood.
            for (String w : warnings)
                if (w.contains("remature")
                        || w.contains("orrupt") && !w.matches(".*extraneous bytes before marker 0x(?!d[0-7]).*"))
                    throw new IOException(w);
            if (raster.getNumBands() != header.components)
                throw new IOException(raster.getNumBands() + " components were decoded, not " + header.components);
            return new Photograph(
                    header.components == 1 ? rgb(raster, null, 0) : rgb(raster, header.luma), header.orientation);
        } finally {
            reader.dispose();
        }
    }

    /** RGB, YCbCr, CMYK or YCCK. CMYK is stored inverted, as Adobe does and Pillow assumes. */
    private static Rgb rgb(Raster raster, boolean luma) {
        int w = raster.getWidth(), h = raster.getHeight(), bands = raster.getNumBands();
        byte[] out = new byte[Math.multiplyExact(w * h, 3)];
        int[] row = new int[w * bands];
        for (int y = 0, o = 0; y < h; y++) {
            raster.getPixels(0, y, w, 1, row);
            for (int at = 0; at < row.length; at += bands, o += 3) {
                int r = row[at], g = row[at + 1], b = row[at + 2];
                if (luma) {
                    int l = r, cb = g - 128, cr = b - 128;
                    r = clip(l + (91881 * cr + 32768 >> 16));
                    g = clip(l + (-22554 * cb - 46802 * cr + 32768 >> 16));
                    b = clip(l + (116130 * cb + 32768 >> 16));
                }
                if (bands == 4) {
                    int k = row[at + 3];
                    r = light(luma ? r : 255 - r, k);
                    g = light(luma ? g : 255 - g, k);
                    b = light(luma ? b : 255 - b, k);
                }
                out[o] = (byte) r;
                out[o + 1] = (byte) g;
                out[o + 2] = (byte) b;
            }
        }
        return new Rgb(out, h, w);
    }

    private static int clip(int x) {
        return Math.max(0, Math.min(255, x));
    }

    /** What an ink leaves of the light that black leaves: white (1 - ink / 255), rounded as Pillow does. */
    private static int light(int ink, int white) {
        int t = ink * white + 128;
        return clip(white - ((t >> 8) + t >> 8));
    }
}
