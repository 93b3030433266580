// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.cortigan.cortex.Mesh;
import org.cortigan.surface.Surfaces.Kind;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.NodeList;

class BrainPictureTest {
    private static final Surfaces SURFACES = Surfaces.bundled();
    private static final int SAMPLES = 3;
    private static final Scale SCALE = new Scale(Colourmap.VIRIDIS, 0, 1, Double.NaN, "r <&>");

    /** Places in MNI305, of the right hemisphere: the occipital pole (V1), the hand area, and the frontal pole. */
    private static final float[] V1 = {8, -85, 2}, HAND = {38, -25, 58}, FRONT = {10, 65, 5};

    /** The vertex nearest to a place of the pial surface. */
    private static int vertex(int hemisphere, float[] place) {
        float[] p = SURFACES.mesh(Kind.PIAL, hemisphere).points();
        int best = -1;
        double least = Double.MAX_VALUE;
        for (int v = 0; v < SURFACES.vertices(); v++) {
            double d = Math.hypot(
                    Math.hypot(p[3 * v] - (hemisphere == 0 ? -place[0] : place[0]), p[3 * v + 1] - place[1]),
                    p[3 * v + 2] - place[2]);
            if (d < least) {
                least = d;
                best = v;
            }
        }
        return best;
    }

    /** Where a vertex lies in a view: 0 left to 1 right, and 0 bottom to 1 top. */
    private static double[] place(View view, int hemisphere, float[] where) {
        Mesh mesh = SURFACES.mesh(view == View.FLAT ? Kind.FLAT : Kind.INFLATED, hemisphere);
        float[] turned = view.turned(mesh.points(), hemisphere), e = View.extent(mesh, turned);
        int v = 3 * vertex(hemisphere, where);
        return new double[] {(turned[v] - e[0]) / (e[1] - e[0]), (turned[v + 1] - e[2]) / (e[3] - e[2])};
    }

    private static void left(double[] place) {
        assertTrue(place[0] < 0.25, Arrays.toString(place));
    }

    private static void right(double[] place) {
        assertTrue(place[0] > 0.75, Arrays.toString(place));
    }

    @Test
    void knownPlacesAreWhereTheyBelong() {
        // The left hemisphere from its side looks to the left, from the middle to the right.
        left(place(View.LATERAL, 0, FRONT));
        right(place(View.LATERAL, 0, V1));
        right(place(View.LATERAL, 1, FRONT));
        left(place(View.LATERAL, 1, V1));
        right(place(View.MEDIAL, 0, FRONT));
        left(place(View.MEDIAL, 0, V1));
        left(place(View.MEDIAL, 1, FRONT));
        right(place(View.MEDIAL, 1, V1));
        for (int h = 0; h < 2; h++) {
            assertTrue(place(View.LATERAL, h, HAND)[1] > 0.8, "the hand area is at the top");
            assertTrue(place(View.VENTRAL, h, V1)[1] > 0.9 && place(View.VENTRAL, h, FRONT)[1] < 0.1);
            assertTrue(place(View.DORSAL, h, V1)[1] < 0.1 && place(View.DORSAL, h, FRONT)[1] > 0.9);
            assertTrue(place(View.POSTERIOR, h, HAND)[1] > 0.8);
            // From behind, the hand area lies outside of V1, and the hemispheres are side by side.
            double outward = place(View.POSTERIOR, h, HAND)[0] - place(View.POSTERIOR, h, V1)[0];
            assertTrue(h == 0 ? outward < 0 : outward > 0, h + ": " + outward);
        }
        // The flat maps meet at V1.
        right(place(View.FLAT, 0, V1));
        left(place(View.FLAT, 0, FRONT));
        left(place(View.FLAT, 1, V1));
        right(place(View.FLAT, 1, FRONT));
        assertTrue(place(View.FLAT, 0, HAND)[1] > 0.6 && place(View.FLAT, 1, HAND)[1] > 0.6);
    }

    @Test
    void noViewIsMirrored() {
        float[] axes = {1, 0, 0, 0, 1, 0, 0, 0, 1};
        for (View view : View.values())
            for (int h = 0; h < 2; h++) {
                if (view == View.FLAT) continue;
                float[] t = view.turned(axes, h);
                double det = t[0] * (t[4] * t[8] - t[5] * t[7])
                        - t[1] * (t[3] * t[8] - t[5] * t[6])
                        + t[2] * (t[3] * t[7] - t[4] * t[6]);
                assertEquals(1, det, 0, view.toString());
            }
    }

    /** Places in sixteenths of a mm, of all views of both hemispheres. A change moves every picture. */
    @Test
    void geometryIsGolden() {
        CRC32 crc = new CRC32();
        for (View view : View.values())
            for (int h = 0; h < 2; h++) {
                Mesh mesh = SURFACES.mesh(view == View.FLAT ? Kind.FLAT : Kind.INFLATED, h);
                for (float x : view.turned(mesh.points(), h)) {
                    int place = Math.round(16 * x);
                    for (int shift = 0; shift < 32; shift += 8) crc.update(place >> shift & 255);
                }
            }
        assertEquals("f96cc090", String.format(Locale.ROOT, "%08x", crc.getValue()));
    }

    /** A panel of the left hemisphere from its side, 2 pixels a mm. */
    private static Panel panel(float[] values, Scale scale) {
        Mesh mesh = SURFACES.mesh(Kind.INFLATED, 0);
        float[] turned = View.LATERAL.turned(mesh.points(), 0), e = View.extent(mesh, turned);
        int width = (int) Math.ceil(2 * (e[1] - e[0])), height = (int) Math.ceil(2 * (e[3] - e[2]));
        return new Panel(
                width, height, mesh, turned, e[0], e[2], 2, values, new float[values.length], scale, SAMPLES, false);
    }

    private static float[] everywhere(float value) {
        float[] values = new float[SURFACES.vertices()];
        Arrays.fill(values, value);
        return values;
    }

    private static boolean isGrey(int rgb) {
        return (rgb >> 16 & 255) == (rgb & 255) && (rgb >> 8 & 255) == (rgb & 255);
    }

    /** Half of the brain has a value: each pixel is exactly its colour, or grey, or lies on the border. */
    @Test
    void coloursAreTheBarsAndNeverMixedWithGrey() {
        float[] values = everywhere(Float.NaN),
                points = SURFACES.mesh(Kind.INFLATED, 0).points();
        for (int v = 0; v < values.length; v++) if (points[3 * v + 1] < 0) values[v] = 0.5f;
        Panel panel = panel(values, SCALE);
        int[] pixels = panel.pixels;
        int coloured = 0, grey = 0, samples = SAMPLES;
        for (int y = 0; y < panel.height; y++)
            for (int x = 0; x < panel.width; x++) {
                int with = 0, without = 0;
                for (int s = 0; s < samples * samples; s++) {
                    int v = panel.nearest[
                            (samples * y + s / samples) * samples * panel.width + samples * x + s % samples];
                    if (v >= 0 && Float.isNaN(values[v])) without++;
                    else if (v >= 0) with++;
                }
                int rgb = pixels[y * panel.width + x] & 0xffffff;
                if (with > 0 && without == 0) {
                    coloured++;
                    assertEquals(Colourmap.VIRIDIS.rgb(0.5), rgb);
                } else if (with == 0 && without > 0) {
                    grey++;
                    assertTrue(isGrey(rgb), Integer.toHexString(rgb));
                } else if (with == 0) assertEquals(0, pixels[y * panel.width + x], "outside is transparent");
            }
        assertTrue(coloured > 20_000 && grey > 20_000, coloured + " " + grey);
    }

    /**
     * At a vertex the colour is its own value's; 1/256 of the scale is a colour, and the sample is not at the vertex.
     */
    @Test
    void aVertexHasItsOwnColour() {
        float[] values = new float[SURFACES.vertices()],
                points = SURFACES.mesh(Kind.INFLATED, 0).points();
        for (int v = 0; v < values.length; v++) values[v] = (points[3 * v + 2] + 80) / 160;
        Panel panel = panel(values, SCALE);
        int v = vertex(0, HAND), x = (int) panel.at[3 * v] / 3, y = panel.height - 1 - (int) panel.at[3 * v + 1] / 3;
        int rgb = panel.pixels[y * panel.width + x] & 0xffffff;
        int[] near = new int[5];
        for (int i = 0; i < 5; i++) near[i] = Colourmap.VIRIDIS.rgb(values[v] + (i - 2) / 256.0);
        for (int shift = 0; shift < 24; shift += 8) {
            int s = shift, channel = rgb >> s & 255;
            int low = Arrays.stream(near).map(c -> c >> s & 255).min().orElseThrow();
            int high = Arrays.stream(near).map(c -> c >> s & 255).max().orElseThrow();
            assertTrue(channel >= low && channel <= high, Integer.toHexString(rgb) + " " + Arrays.toString(near));
        }
    }

    @Test
    void theThresholdHides() {
        Scale hiding = new Scale(Colourmap.VIRIDIS, 0, 1, 0.6, "r");
        int[] hidden = panel(everywhere(0.5f), hiding).pixels;
        assertTrue(Arrays.stream(hidden).allMatch(BrainPictureTest::isGrey));
        int[] shown = panel(everywhere(0.7f), hiding).pixels;
        assertEquals(
                Colourmap.VIRIDIS.rgb(0.7),
                shown[shown.length / 2 + panel(everywhere(0), hiding).width / 2] & 0xffffff);
    }

    /** The samples that are nearest to a vertex name it. */
    @Test
    void samplesNameTheirVertex() {
        Panel panel = panel(everywhere(0), SCALE);
        int v = vertex(0, HAND), x = (int) panel.at[3 * v], y = (int) panel.at[3 * v + 1];
        assertEquals(v, panel.nearest[(3 * panel.height - 1 - y) * 3 * panel.width + x]);
    }

    private static BufferedImage image(byte[] png) throws Exception {
        return Objects.requireNonNull(ImageIO.read(new ByteArrayInputStream(png)));
    }

    private static float[][] leftOnly() {
        return new float[][] {everywhere(0.5f), everywhere(Float.NaN)};
    }

    @Test
    void theLeftHemisphereIsAtTheLeft() throws Exception {
        BrainPicture picture =
                new BrainPicture(SURFACES, Kind.INFLATED, List.of(View.LATERAL), leftOnly(), SCALE, "", List.of());
        BufferedImage image = image(picture.png(600));
        assertEquals(600, image.getWidth());
        int left = 0, right = 0;
        for (int y = 0; y < 150; y++)
            for (int x = 0; x < 600; x++)
                if ((image.getRGB(x, y) & 0xffffff) == Colourmap.VIRIDIS.rgb(0.5)) {
                    if (x < 300) left++;
                    else right++;
                }
        assertTrue(left > 10_000, "left " + left);
        assertEquals(0, right);
        assertArrayEquals(picture.png(600), picture.png(600));
    }

    private static Outline aroundV1() {
        boolean[][] inside = new boolean[2][SURFACES.vertices()];
        for (int h = 0; h < 2; h++) {
            float[] p = SURFACES.mesh(Kind.PIAL, h).points();
            for (int v = 0; v < SURFACES.vertices(); v++)
                inside[h][v] =
                        Math.hypot(Math.hypot(Math.abs(p[3 * v]) - V1[0], p[3 * v + 1] - V1[1]), p[3 * v + 2] - V1[2])
                                < 15;
        }
        return new Outline("V1", inside);
    }

    @Test
    void aSmallPictureIsSmall() throws Exception {
        byte[] small = new BrainPicture(SURFACES, leftOnly(), SCALE, "title", List.of(aroundV1())).smallPng(900);
        assertTrue(small.length < 60_000, small.length + " bytes");
        assertInstanceOf(IndexColorModel.class, image(small).getColorModel());
    }

    @Test
    void svgHasTextAndOutlines() throws Exception {
        BrainPicture picture =
                new BrainPicture(SURFACES, leftOnly(), SCALE, "A <title> & \"more\"", List.of(aroundV1()));
        byte[] svg = picture.svg(900).getBytes(StandardCharsets.UTF_8);
        Document xml =
                DocumentBuilderFactory.newDefaultInstance().newDocumentBuilder().parse(new ByteArrayInputStream(svg));
        assertEquals(10, xml.getElementsByTagName("image").getLength());
        NodeList texts = xml.getElementsByTagName("text");
        List<String> words = IntStream.range(0, texts.getLength())
                .mapToObj(i -> texts.item(i).getTextContent())
                .toList();
        assertTrue(
                words.containsAll(
                        List.of("A <title> & \"more\"", "r <&>", "V1", "L", "R", "lateral", "0.4", "no value")),
                words.toString());
        // Medial and flat views of both hemispheres show V1, each line with its border.
        assertTrue(xml.getElementsByTagName("polyline").getLength() > 12);
    }

    /** The border of a region is closed where nothing hides it, and lies between its vertices and the others. */
    @Test
    void bordersAreClosed() {
        boolean[] inside = new boolean[SURFACES.vertices()];
        int centre = vertex(0, new float[] {55, -20, 10});
        inside[centre] = true;
        Panel panel = panel(everywhere(0), SCALE);
        List<double[]> border = panel.border(inside);
        assertEquals(1, border.size());
        double[] line = border.get(0);
        assertEquals(line[0], line[line.length - 2], 0);
        assertEquals(line[1], line[line.length - 1], 0);
        Fsaverage.Neighbours n = Fsaverage.Neighbours.of(SURFACES.vertices(), Fsaverage.triangles(5));
        assertEquals(n.first()[centre + 1] - n.first()[centre] + 1, line.length / 2);
        assertFalse(panel.border(new boolean[inside.length]).iterator().hasNext());
    }

    /** Letters come from the jar: accents, Greek and signs have outlines of their own, others the mark for unknown. */
    @Test
    void lettersNeedNoFonts() {
        double unknown = Letters.width("\ud83e\udde0", 1);
        assertEquals(Letters.width("\ufffd", 1), unknown, 0);
        for (String text : new String[] {"r", "é", "ρ", "²", "−", "≥"}) {
            assertTrue(Letters.width(text, 1) < unknown, text);
            assertTrue(Letters.shape(text, 0, 0, 10).getBounds2D().getHeight() > 0, text);
        }
        assertEquals(2 * Letters.width("r", 1), Letters.width("rr", 1), 1e-9);
    }
}
