// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.cortigan.cortex.VertexGroup;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares the scores of photographs with the textbook formula. */
class PhotographScoresTest {
    private static final int LEFT = 20, VERTICES = 45;
    private static final int[] IMAGES = {3, 7, 12, 30};
    private static final List<String> FILES = List.of("d.png", "h.png", "m, 1.png", "x.png");

    private static final List<VertexGroup> GROUPS = List.of(
            new VertexGroup("c", "A", "lh", IntStream.range(2, 14).toArray()),
            new VertexGroup("c", "few", "lh", IntStream.range(0, 6).toArray()),
            new VertexGroup("c", "A", "rh", IntStream.range(5, 16).toArray()),
            new VertexGroup("c", "few", "rh", IntStream.range(0, 6).toArray()),
            new VertexGroup("c", "none", "rh", new int[0]));

    private static float[] gaussian(long seed) {
        SplittableRandom r = new SplittableRandom(seed);
        float[] x = new float[IMAGES.length * VERTICES];
        for (int i = 0; i < x.length; i++) x[i] = (float) r.nextGaussian();
        return x;
    }

    private static PhotographScores scores(int... notMeasured) {
        return new PhotographScores(IMAGES, FILES, LEFT, VERTICES, GROUPS, notMeasured);
    }

    private static List<List<String>> lines(PhotographScores s) {
        return Csv.parse(new String(s.csv(), StandardCharsets.UTF_8));
    }

    /** E[pt] - E[p] E[t] over the standard deviations. */
    private static double pearson(float[] p, float[] t, int photograph, IntStream vertices) {
        int[] all = vertices.toArray();
        double n = all.length, sp = 0, st = 0, pp = 0, tt = 0, pt = 0;
        for (int v : all) {
            double a = p[photograph * VERTICES + v], b = t[photograph * VERTICES + v];
            sp += a;
            st += b;
            pp += a * a;
            tt += b * b;
            pt += a * b;
        }
        return (pt - sp * st / n) / Math.sqrt((pp - sp * sp / n) * (tt - st * st / n));
    }

    @Test
    void everyPhotographHasAnRForEverySetOfVertices() {
        float[] p = gaussian(1), t = gaussian(2);
        PhotographScores s = scores();
        s.add(0, p, t, 3); // in blocks
        s.add(3, Arrays.copyOfRange(p, 3 * VERTICES, 4 * VERTICES), Arrays.copyOfRange(t, 3 * VERTICES, p.length), 1);
        List<List<String>> lines = lines(s);
        assertEquals(List.of("image", "file", "hemisphere", "class", "roi", "vertices", "r"), lines.get(0));
        int at = 1;
        for (int i = 0; i < IMAGES.length; i++) {
            Map<String, IntStream> want = new TreeMap<>(Map.of(
                    "0 both,,all vertices,45", IntStream.range(0, 45),
                    "1 lh,,all vertices,20", IntStream.range(0, 20),
                    "2 rh,,all vertices,25", IntStream.range(20, 45),
                    "3 both,c,A,23", IntStream.concat(IntStream.range(2, 14), IntStream.range(25, 36)),
                    "4 lh,c,A,12", IntStream.range(2, 14),
                    "5 rh,c,A,11", IntStream.range(25, 36),
                    "6 both,c,few,12", IntStream.concat(IntStream.range(0, 6), IntStream.range(20, 26))));
            for (Map.Entry<String, IntStream> e : want.entrySet()) {
                List<String> line = lines.get(at++);
                assertEquals(
                        IMAGES[i] + "," + FILES.get(i) + "," + e.getKey().substring(2),
                        String.join(",", line.subList(0, 6)));
                // r is at most 1 and rounded to float; the sums of 45 products differ by far less.
                assertEquals(pearson(p, t, i, e.getValue()), Double.parseDouble(line.get(6)), 0x1p-24);
            }
        }
        assertEquals(lines.size(), at);
    }

    @Test
    void verticesWithoutResponsesAndEqualValuesAreLeftOut() {
        float[] p = gaussian(1), t = gaussian(2);
        Arrays.fill(p, 0, VERTICES, 0.1f); // the first photograph has equal predictions
        for (int i = 0; i < IMAGES.length; i++) for (int v : new int[] {2, 44}) t[i * VERTICES + v] = 0;
        PhotographScores s = scores(2, 44);
        s.add(0, p, t, IMAGES.length);
        List<List<String>> lines = lines(s);
        assertEquals(List.of("3", "d.png", "both", "", "all vertices", "43", ""), lines.get(1));
        List<String> second = lines.get(1 + (lines.size() - 1) / 4 + 3);
        assertEquals(List.of("7", "h.png", "both", "c", "A", "22"), second.subList(0, 6));
        assertEquals(
                pearson(p, t, 1, IntStream.concat(IntStream.range(3, 14), IntStream.range(25, 36))),
                Double.parseDouble(second.get(6)),
                0x1p-24);
        assertArrayEquals(
                new int[] {0, 1, 2},
                Arrays.stream(s.extremes(9)).sorted().map(i -> i - 1).toArray());
    }

    @Test
    void theExtremesAreTheBestAndTheWorst() {
        float[] t = gaussian(2), noise = gaussian(3), p = new float[t.length];
        double[] share = {0.5, 4, 0.1, 1}; // of noise
        for (int i = 0; i < p.length; i++) p[i] = t[i] + (float) share[i / VERTICES] * noise[i];
        PhotographScores s = scores();
        s.add(0, p, t, IMAGES.length);
        assertArrayEquals(new int[] {2, 0, 3, 1}, s.extremes(4));
        assertArrayEquals(new int[] {2, 1}, s.extremes(2));
        assertEquals(12, s.image(2));
        assertEquals("m, 1.png", s.file(2));
    }

    @Test
    void anEvaluationWithoutThemDeletesThoseOfAnEarlierOne(@TempDir Path dir) {
        PearsonAccumulator acc = new PearsonAccumulator(VERTICES);
        acc.add(gaussian(1), gaussian(2), IMAGES.length);
        Evaluation e = Evaluation.of("test", acc, LEFT, List.of(), null, null);
        for (String name : List.of(Evaluation.PHOTOGRAPHS, Evaluation.READOUT)) {
            AtomicFiles.writeString(dir.resolve(name), "old");
            e.write(dir);
            assertEquals(false, dir.resolve(name).toFile().exists());
        }
    }
}
