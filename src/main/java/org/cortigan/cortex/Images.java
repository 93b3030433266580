// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.event.IIOReadWarningListener;
import javax.imageio.stream.ImageInputStream;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;

/** Reads and writes photographs as RGB bytes, row by row. */
public final class Images {
    private static final long MAX_PIXELS = 200_000_000;

    private Images() {}

    /** Pixels u8 [height, width, 3]. */
    public record Rgb(byte[] pixels, int height, int width) {
        /** The largest centred square. */
        public Rgb square() {
            int s = Math.min(height, width);
            return crop((width - s) / 2, (height - s) / 2, s, s);
        }

        /**
         * A rectangle of the image.
         *
         * @throws IllegalArgumentException if the rectangle does not lie inside the image
         */
        public Rgb crop(int x, int y, int w, int h) {
            if (x < 0 || y < 0 || w < 1 || h < 1 || x + w > width || y + h > height)
                throw new IllegalArgumentException(
                        w + "x" + h + " at " + x + "," + y + " is not inside " + width + "x" + height);
            if (w == width && h == height) return this;
            byte[] out = new byte[w * h * 3];
            for (int i = 0; i < h; i++) System.arraycopy(pixels, ((y + i) * width + x) * 3, out, i * w * 3, w * 3);
            return new Rgb(out, h, w);
        }

        /** Resamples with an antialiasing triangle filter, as Pillow's BILINEAR does. */
        public Rgb resize(int h, int w) {
            if (h == height && w == width) return this;
            Filter fx = new Filter(width, w), fy = new Filter(height, h);
            float[] rows = new float[height * w * 3];
            for (int y = 0; y < height; y++)
                for (int x = 0; x < w; x++) {
                    float r = 0, g = 0, b = 0;
                    int at = (y * width + fx.first[x]) * 3;
                    for (float f : fx.weights[x]) {
                        r += f * (pixels[at] & 0xff);
                        g += f * (pixels[at + 1] & 0xff);
                        b += f * (pixels[at + 2] & 0xff);
                        at += 3;
                    }
                    int o = (y * w + x) * 3;
                    rows[o] = r;
                    rows[o + 1] = g;
                    rows[o + 2] = b;
                }
            byte[] out = new byte[h * w * 3];
            for (int y = 0; y < h; y++)
                for (int k = 0; k < w * 3; k++) {
                    float v = 0;
                    int at = fy.first[y] * w * 3 + k;
                    for (float f : fy.weights[y]) {
                        v += f * rows[at];
                        at += w * 3;
                    }
                    out[y * w * 3 + k] = (byte) Math.max(0, Math.min(255, (int) (v + 0.5f)));
                }
            return new Rgb(out, h, w);
        }
    }

    /** The input positions and weights of each output position. */
    private static final class Filter {
        final int[] first;
        final float[][] weights;

        Filter(int from, int to) {
            first = new int[to];
            weights = new float[to][];
            double scale = (double) from / to, reach = Math.max(scale, 1);
            for (int i = 0; i < to; i++) {
                double center = (i + 0.5) * scale, sum = 0;
                int lo = Math.max(0, (int) (center - reach + 0.5)), hi = Math.min(from, (int) (center + reach + 0.5));
                double[] w = new double[hi - lo];
                for (int k = lo; k < hi; k++) sum += w[k - lo] = Math.max(0, 1 - Math.abs((k + 0.5 - center) / reach));
                first[i] = lo;
                weights[i] = new float[w.length];
                for (int k = 0; k < w.length; k++) weights[i][k] = (float) (w[k] / sum);
            }
        }
    }

    /**
     * Reads a photograph. Grey and palette images become RGB; transparency is dropped.
     *
     * @throws InputException if the file is missing, not an image, too large, truncated or damaged
     */
    public static Rgb read(Path file) {
        InputFiles.check(file);
        try (ImageInputStream in = ImageIO.createImageInputStream(file.toFile())) {
            Iterator<ImageReader> readers = in == null ? null : ImageIO.getImageReaders(in);
            if (readers == null || !readers.hasNext())
                throw new InputException(file.toString(), "is not an image that can be read", "Give PNG or JPEG files");
            ImageReader r = readers.next();
            List<String> warnings = new ArrayList<>();
            IIOReadWarningListener listener = (source, warning) -> warnings.add(warning);
            try {
                r.addIIOReadWarningListener(listener);
                r.setInput(in, true, true);
                if ((long) r.getWidth(0) * r.getHeight(0) > MAX_PIXELS)
                    throw new InputException(
                            file.toString(),
                            "has " + r.getWidth(0) + " x " + r.getHeight(0) + " pixels",
                            "Give images of at most " + MAX_PIXELS / 1_000_000 + " million pixels");
                BufferedImage image = r.read(0);
                // The JPEG reader fills missing parts with grey and only warns.
                for (String w : warnings) if (w.contains("remature") || w.contains("orrupt")) throw new IOException(w);
                return rgb(image);
            } finally {
                r.dispose();
            }
        } catch (InputException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            throw new InputException(
                    file.toString(),
                    "is truncated or damaged: " + (e.getMessage() == null ? e : e.getMessage()),
                    "Copy or download the file again",
                    e);
        }
    }

    private static Rgb rgb(BufferedImage image) {
        int w = image.getWidth(), h = image.getHeight();
        byte[] out = new byte[Math.multiplyExact(w * h, 3)];
        ColorModel m = image.getColorModel();
        if (!(m instanceof IndexColorModel) && m.getNumColorComponents() == 1 && m.getComponentSize(0) == 8) {
            // getRGB would interpret grey as linear light and brighten it.
            Raster raster = image.getRaster();
            int[] row = new int[w];
            for (int y = 0; y < h; y++) {
                raster.getSamples(0, y, w, 1, 0, row);
                for (int x = 0; x < w; x++) for (int c = 0; c < 3; c++) out[(y * w + x) * 3 + c] = (byte) row[x];
            }
            return new Rgb(out, h, w);
        }
        int[] row = new int[w];
        for (int y = 0; y < h; y++) {
            image.getRGB(0, y, w, 1, row, 0, w);
            for (int x = 0; x < w; x++) {
                int o = (y * w + x) * 3;
                out[o] = (byte) (row[x] >> 16);
                out[o + 1] = (byte) (row[x] >> 8);
                out[o + 2] = (byte) row[x];
            }
        }
        return new Rgb(out, h, w);
    }

    /** The centred square of a photograph, u8 [size, size, 3]. */
    public static byte[] decode(Path file, int size) {
        return read(file).square().resize(size, size).pixels();
    }

    /** Writes a PNG file. */
    public static void writePng(Path file, Rgb image) {
        BufferedImage b = new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_INT_RGB);
        int[] row = new int[image.width()];
        byte[] p = image.pixels();
        for (int y = 0; y < image.height(); y++) {
            for (int x = 0; x < row.length; x++) {
                int o = (y * row.length + x) * 3;
                row[x] = (p[o] & 0xff) << 16 | (p[o + 1] & 0xff) << 8 | p[o + 2] & 0xff;
            }
            b.setRGB(0, y, row.length, 1, row, 0, row.length);
        }
        java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();
        try (javax.imageio.stream.MemoryCacheImageOutputStream out =
                new javax.imageio.stream.MemoryCacheImageOutputStream(bytes)) {
            ImageIO.write(b, "png", out);
        } catch (IOException e) {
            throw new IllegalStateException(e); // Writing to memory does not fail.
        }
        AtomicFiles.write(file, bytes.toByteArray());
    }

    /**
     * Lists the PNG and JPEG files of a folder, sorted by name.
     *
     * @throws InputException if the folder does not exist or has no such files
     */
    public static List<Path> list(Path folder) {
        if (!Files.isDirectory(folder))
            throw new InputException(folder.toString(), "is not a folder", "Give a folder of PNG or JPEG files");
        try (Stream<Path> s = Files.list(folder)) {
            List<Path> l = s.filter(p ->
                            p.getFileName().toString().toLowerCase(Locale.ROOT).matches(".*\\.(png|jpe?g)"))
                    .sorted()
                    .toList();
            if (l.isEmpty())
                throw new InputException(folder.toString(), "has no PNG or JPEG files", "Give another folder");
            return l;
        } catch (IOException e) {
            throw InputFiles.unreadable(folder, e);
        }
    }
}
