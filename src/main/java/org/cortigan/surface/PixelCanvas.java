// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.Shape;
import java.awt.geom.Path2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;

/** A picture of pixels on white. It needs neither a display nor fonts. */
final class PixelCanvas implements Canvas {
    final BufferedImage image;
    private final Graphics2D graphics;

    PixelCanvas(int width, int height) {
        image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        graphics = image.createGraphics();
        graphics.setColor(Color.WHITE);
        graphics.fillRect(0, 0, width, height);
        graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    }

    /** The pixels of a panel, transparent outside the brain. */
    static BufferedImage image(Panel panel) {
        BufferedImage own = new BufferedImage(panel.width, panel.height, BufferedImage.TYPE_INT_ARGB);
        own.setRGB(0, 0, panel.width, panel.height, panel.pixels, 0, panel.width);
        return own;
    }

    /** The picture in 24 greys and 104 colours of a map: each pixel in the nearest. */
    BufferedImage reduced(Colourmap map) {
        int greys = 24, all = 128;
        int[] colours = new int[all];
        for (int i = 0; i < all; i++)
            colours[i] =
                    i < greys ? 0x10101 * (255 * i / (greys - 1)) : map.rgb((i - greys) / (double) (all - greys - 1));
        BufferedImage out = new BufferedImage(
                image.getWidth(),
                image.getHeight(),
                BufferedImage.TYPE_BYTE_INDEXED,
                new IndexColorModel(8, all, colours, 0, false, -1, DataBuffer.TYPE_BYTE));
        Map<Integer, Integer> nearest = new HashMap<>();
        for (int y = 0; y < image.getHeight(); y++)
            for (int x = 0; x < image.getWidth(); x++) {
                int index = nearest.computeIfAbsent(image.getRGB(x, y), rgb -> nearest(colours, rgb));
                out.getRaster().setSample(x, y, 0, index);
            }
        return out;
    }

    private static int nearest(int[] colours, int rgb) {
        int best = 0, least = Integer.MAX_VALUE;
        for (int i = 0; i < colours.length; i++) {
            int distance = 0;
            for (int shift = 0; shift < 24; shift += 8) {
                int d = (colours[i] >> shift & 255) - (rgb >> shift & 255);
                distance += d * d;
            }
            if (distance < least) {
                least = distance;
                best = i;
            }
        }
        return best;
    }

    @Override
    public void panel(Panel panel, double x, double y, int finer) {
        graphics.drawImage(image(panel), (int) Math.round(x), (int) Math.round(y), null);
    }

    @Override
    public void line(double[] points, double width, int colour) {
        graphics.setColor(new Color(colour));
        graphics.setStroke(new BasicStroke((float) width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
        graphics.draw(path(points));
    }

    @Override
    public void fill(double[] points, int colour) {
        graphics.setColor(new Color(colour));
        graphics.fill(path(points));
    }

    private static Path2D path(double[] points) {
        Path2D path = new Path2D.Double();
        path.moveTo(points[0], points[1]);
        for (int i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
        return path;
    }

    @Override
    public void text(String text, double x, double y, double size, double anchor, int colour, boolean halo) {
        Shape shape = Letters.shape(text, x - anchor * Letters.width(text, size), y, size);
        if (halo) {
            graphics.setColor(Color.WHITE);
            graphics.setStroke(new BasicStroke((float) (size / 4), BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
            graphics.draw(shape);
        }
        graphics.setColor(new Color(colour));
        graphics.fill(shape);
    }

    /**
     * A picture as a PNG file.
     *
     * @param effort 1 packs fast, 9 packs best
     */
    static byte[] png(BufferedImage image, int effort) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ImageWriter writer = ImageIO.getImageWritersByFormatName("png").next();
        ImageWriteParam param = writer.getDefaultWriteParam();
        param.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
        param.setCompressionQuality(1 - effort / 9f);
        // A stream in memory: ImageIO would make a temporary file.
        try (MemoryCacheImageOutputStream stream = new MemoryCacheImageOutputStream(out)) {
            writer.setOutput(stream);
            writer.write(null, new IIOImage(image, null, null), param);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }
}
