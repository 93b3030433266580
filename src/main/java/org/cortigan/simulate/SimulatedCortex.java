// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * A simulated visual cortex, whose responses are not a linear function of pixels. The seed determines what each vertex
 * responds to.
 *
 * <p>Every vertex reads {@link PhotoFeatures}. A vertex of V1 to V3 sums a few orientations of one scale under a
 * Gaussian receptive field, compresses the sum by a power (Kay et al. 2013) and subtracts the energy of the whole
 * field. The receptive field lies in the opposite half of the visual field and grows with area and eccentricity. A
 * vertex of a higher area reads conjunctions: products of rectified, pooled features, some of which its region shares.
 * Vertices in no region respond weakly to a few conjunctions. Every vertex has its own signal variance; noise ceilings
 * run from 0 to about 0.8.
 */
final class SimulatedCortex {
    private static final int ORIENTATIONS = PhotoFeatures.ORIENTATIONS, SCALES = PhotoFeatures.SCALES;
    private static final int FEATURES = PhotoFeatures.FEATURES, UNITS = 384, TAPS = 20;

    private static final List<String> VISUAL = List.of("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4");

    /** Classes with their ROIs in the order of the ids in the challenge's mappings. */
    static final Map<String, List<String>> CLASSES = new LinkedHashMap<>();

    static {
        CLASSES.put("prf-visualrois", VISUAL);
        CLASSES.put("floc-bodies", List.of("EBA", "FBA-1", "FBA-2", "mTL-bodies"));
        CLASSES.put("floc-faces", List.of("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"));
        CLASSES.put("floc-places", List.of("OPA", "PPA", "RSC"));
        CLASSES.put("floc-words", List.of("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"));
        CLASSES.put(
                "streams",
                List.of("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"));
    }

    /** Place of each ROI: start and end, as fractions of the line of a hemisphere's vertices. */
    private static final Map<String, double[]> PLACE = new LinkedHashMap<>();

    static {
        double at = 0;
        for (String r : VISUAL) {
            double w = r.startsWith("V1") ? 0.045 : r.equals("hV4") ? 0.025 : 0.035;
            PLACE.put(r, new double[] {at, at + w});
            at += w;
        }
        put(
                "early",
                0,
                0.27,
                "midventral",
                0.27,
                0.32,
                "ventral",
                0.32,
                0.5,
                "midlateral",
                0.5,
                0.54,
                "lateral",
                0.54,
                0.72);
        put("midparietal", 0.72, 0.75, "parietal", 0.75, 0.88);
        put("FBA-1", 0.33, 0.35, "FBA-2", 0.36, 0.385, "FFA-1", 0.34, 0.362, "FFA-2", 0.375, 0.4, "PPA", 0.42, 0.46);
        put("VWFA-1", 0.395, 0.415, "VWFA-2", 0.41, 0.425, "mTL-bodies", 0.47, 0.475, "mTL-faces", 0.472, 0.478);
        put("mTL-words", 0.476, 0.482, "aTL-faces", 0.485, 0.49, "OWFA", 0.28, 0.3, "mfs-words", 0.49, 0.5);
        put("EBA", 0.55, 0.62, "OFA", 0.52, 0.56, "OPA", 0.6, 0.65, "RSC", 0.78, 0.81);
    }

    private static void put(Object... p) {
        for (int i = 0; i < p.length; i += 3)
            PLACE.put((String) p[i], new double[] {((Number) p[i + 1]).doubleValue(), ((Number) p[i + 2]).doubleValue()
            });
    }

    /** A hemisphere: its masks by class, and the inputs of every vertex. */
    static final class Hemisphere {
        final boolean isLeft;
        final int vertices;
        final Map<String, int[]> masks = new LinkedHashMap<>();
        /** Indices of the inputs: features for early vertices, units for others. Unused taps have weight 0. */
        final short[] tap;

        final float[] weight;
        final boolean[] early;
        /** Sum of the weights of each early vertex. */
        final float[] gain;

        final float[] ceiling;
        /** Calibration: mean and reciprocal standard deviation of the raw signal. */
        final float[] mean;

        final float[] scale;

        Hemisphere(boolean isLeft, int vertices) {
            this.isLeft = isLeft;
            this.vertices = vertices;
            tap = new short[vertices * TAPS];
            weight = new float[vertices * TAPS];
            early = new boolean[vertices];
            gain = new float[vertices];
            ceiling = new float[vertices];
            mean = new float[vertices];
            scale = new float[vertices];
            Arrays.fill(scale, 1);
        }
    }

    /** Nonlinear conjunctions: each is the product of two rectified pooled features. */
    private final int[][] unit = new int[UNITS][2];

    private final float[][] threshold = new float[UNITS][2];
    private final PhotoFeatures photo = new PhotoFeatures();
    final Hemisphere[] hemispheres = new Hemisphere[2];

    /** @param present whether an ROI exists in the left (0) or right (1) hemisphere */
    SimulatedCortex(long seed, int left, int right, java.util.function.BiPredicate<String, Integer> present) {
        SplittableRandom r = new SplittableRandom(seed);
        for (int u = 0; u < UNITS; u++)
            for (int k = 0; k < 2; k++) {
                unit[u][k] = r.nextInt(PhotoFeatures.POOLED);
                threshold[u][k] = (float) (0.1 + 0.25 * r.nextDouble());
            }
        hemispheres[0] = hemisphere(true, left, r.split(), present);
        hemispheres[1] = hemisphere(false, right, r.split(), present);
    }

    private Hemisphere hemisphere(
            boolean isLeft, int n, SplittableRandom r, java.util.function.BiPredicate<String, Integer> present) {
        Hemisphere h = new Hemisphere(isLeft, n);
        // The end of the line has no ROI, because 5350 of 19004 vertices of the challenge's first subject lie in no
        // functional ROI.
        Map<String, int[]> units = new LinkedHashMap<>();
        @Nullable String[] region = new String[n];
        for (Map.Entry<String, List<String>> c : CLASSES.entrySet()) {
            int[] mask = new int[n];
            for (int i = 0; i < c.getValue().size(); i++) {
                String roi = c.getValue().get(i);
                int[] own = new int[24];
                for (int k = 0; k < own.length; k++) own[k] = r.nextInt(UNITS);
                units.put(roi, own);
                if (!present.test(roi, isLeft ? 0 : 1)) continue;
                double[] p = Objects.requireNonNull(PLACE.get(roi), "no place of ROI " + roi);
                for (int v = (int) (p[0] * n); v < (int) (p[1] * n); v++) {
                    // ROIs have ragged edges and holes; streams do not.
                    if (!c.getKey().equals("streams") && r.nextInt(12) == 0) continue;
                    if (mask[v] == 0) mask[v] = i + 1;
                    if (region[v] == null || !c.getKey().equals("streams")) region[v] = roi;
                }
            }
            h.masks.put(c.getKey(), mask);
        }
        for (int v = 0; v < n; v++) vertex(h, v, region[v], units, r.split());
        return h;
    }

    private void vertex(Hemisphere h, int v, @Nullable String region, Map<String, int[]> units, SplittableRandom r) {
        boolean primary = region != null && region.matches("V[123][vd]|early");
        h.early[v] = primary;
        double u = r.nextDouble(), t = r.nextDouble();
        // Mean ceilings: early areas about 0.5, higher regions 0.35, the rest 0.15; each varies widely, some are 0.
        double top = primary ? 0.85 : region != null ? 0.75 : 0.45;
        h.ceiling[v] = r.nextInt(25) == 0
                ? 0
                : (float) (top * (0.15 + 0.85 * u) * (0.45 + 0.55 * t) * (region == null ? 0.7 : 1));
        if (region != null && primary) receptiveField(h, v, region, r);
        else conjunctions(h, v, region == null ? null : units.get(region), r);
    }

    /** A vertex of a higher area or of no region: ten units, some of which are those of its region. */
    private static void conjunctions(Hemisphere h, int v, int @Nullable [] own, SplittableRandom r) {
        int at = v * TAPS;
        for (int k = 0; k < 10; k++) {
            boolean shared = own != null && k < 7;
            h.tap[at + k] = (short)
                    (own != null && shared
                            ? own[(int) (own.length * r.nextDouble() * r.nextDouble())]
                            : r.nextInt(UNITS));
            // Half of the conjunctions suppress: a region prefers some contents over others, not any over none.
            double w = shared ? 0.4 + r.nextDouble() : r.nextDouble();
            h.weight[at + k] = (float) ((h.tap[at + k] & 1) == 0 ? w : -w);
        }
    }

    /** A vertex of an early area: features of one scale and two orientations under a Gaussian. */
    private static void receptiveField(Hemisphere h, int v, String region, SplittableRandom r) {
        int at = v * TAPS;
        int area = region.charAt(0) == 'V' ? region.charAt(1) - '0' : 2;
        double eccentricity = 0.04 + 0.44 * r.nextDouble() * r.nextDouble() + 0.02 * r.nextDouble();
        double angle = Math.PI * (r.nextDouble() - 0.5);
        if (region.endsWith("v")) angle = Math.abs(angle); // Ventral areas see above the horizon.
        if (region.endsWith("d")) angle = -Math.abs(angle);
        double side = h.isLeft ? 1 : -1; // The left hemisphere sees the right half.
        double x = 0.5 + side * eccentricity * StrictMath.cos(angle), y = 0.5 - eccentricity * StrictMath.sin(angle);
        double sigma = (0.02 + 0.12 * eccentricity) * area;
        int s = Math.min(SCALES - 1, (int) (r.nextDouble() * 1.4 + eccentricity * 3)),
                g = PhotoFeatures.grid(s),
                o = r.nextInt(ORIENTATIONS);
        int span = s == 0 ? 4 : s == 1 ? 3 : 2;
        int x0 = clamp((int) (x * g - span / 2.0 + 0.5), g - span),
                y0 = clamp((int) (y * g - span / 2.0 + 0.5), g - span);
        List<float[]> taps = new ArrayList<>();
        for (int i = 0; i < span; i++)
            for (int j = 0; j < span; j++) {
                double dx = (x0 + j + 0.5) / g - x, dy = (y0 + i + 0.5) / g - y;
                double w = StrictMath.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma + 1.0 / (g * g)));
                for (int k = 0; k < 2; k++) { // The preferred orientation and, weaker, its neighbour.
                    int f = PhotoFeatures.base(s) + ((o + k) % ORIENTATIONS * g + y0 + i) * g + x0 + j;
                    taps.add(new float[] {f, (float) (w * (k == 0 ? 1 : 0.4))});
                }
            }
        taps.sort((p, q) -> Float.compare(q[1], p[1]));
        for (int k = 0; k < Math.min(TAPS, taps.size()); k++) {
            h.tap[at + k] = (short) taps.get(k)[0];
            h.weight[at + k] = taps.get(k)[1];
            h.gain[v] += taps.get(k)[1];
        }
    }

    private static int clamp(int v, int max) {
        return Math.max(0, Math.min(max, v));
    }

    /** Features of a photograph u8 [64, 64, 3], then its units, then the mean energy. Thread-safe. */
    float[] features(byte[] rgb) {
        float[] f = new float[FEATURES + UNITS + 1];
        photo.write(rgb, f);
        float[] pooled = PhotoFeatures.pool(f);
        for (int u = 0; u < UNITS; u++) {
            float a = pooled[unit[u][0]] - threshold[u][0], b = pooled[unit[u][1]] - threshold[u][1];
            f[FEATURES + u] = a > 0 && b > 0 ? (float) Math.sqrt(a * b) : 0;
        }
        float energy = 0;
        for (int i = 0; i < PhotoFeatures.ENERGIES; i++) energy += f[i];
        f[FEATURES + UNITS] = energy / PhotoFeatures.ENERGIES;
        return f;
    }

    /**
     * Writes the signal of all vertices of a hemisphere to {@code out[at...]}; standardised after {@link #calibrate}.
     */
    void signal(Hemisphere h, float[] features, float[] out, int at) {
        // Suppression by the surround: the energy of the whole field.
        float surround = (float) Math.sqrt(features[FEATURES + UNITS]);
        for (int v = 0; v < h.vertices; v++) {
            int base = h.early[v] ? 0 : FEATURES;
            float s = 0;
            for (int k = v * TAPS, e = k + TAPS; k < e; k++) s += h.weight[k] * features[base + (h.tap[k] & 0xffff)];
            if (h.early[v]) s = (float) Math.sqrt(s / h.gain[v]) - surround;
            out[at + v] = (s - h.mean[v]) * h.scale[v];
        }
    }

    /**
     * Sets mean and standard deviation of every vertex from the features of example photographs. Vertices with constant
     * responses get no signal.
     */
    void calibrate(List<float[]> examples) {
        for (Hemisphere h : hemispheres) {
            double[] sum = new double[h.vertices], squares = new double[h.vertices];
            float[] s = new float[h.vertices];
            float[] first = new float[h.vertices];
            signal(h, examples.get(0), first, 0);
            for (float[] f : examples) {
                signal(h, f, s, 0);
                for (int v = 0; v < h.vertices; v++) {
                    double d = s[v] - first[v]; // Relative to the first response, to avoid cancellation.
                    sum[v] += d;
                    squares[v] += d * d;
                }
            }
            for (int v = 0; v < h.vertices; v++) {
                double m = sum[v] / examples.size(), var = squares[v] / examples.size() - m * m;
                h.mean[v] = (float) (first[v] + m);
                h.scale[v] = var > 1e-8 ? (float) (1 / Math.sqrt(var)) : 0;
                if (var <= 1e-8) h.ceiling[v] = 0;
            }
        }
    }
}
