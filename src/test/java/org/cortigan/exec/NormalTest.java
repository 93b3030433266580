// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.op.Ops;
import org.cortigan.op.Philox;
import org.junit.jupiter.api.Test;

/** The numbers of the op normal: the same bits everywhere, those of Philox and Box-Muller, and normal. */
class NormalTest {
    private static final CpuDevice CPU = CpuDevice.best(2);

    private static final int STREAM = 2;

    private static final int[] KEY = {0xdeadbeef, 0x80000001};

    /** @param rows two words each */
    private static float[] draw(Device d, int[] key, int[] rows, int stream, int n) {
        Graph g = new Graph();
        int b = rows.length / 2;
        g.output("y", Ops.normal(g.input("key", DType.I32, 2), g.input("rows", DType.I32, b, 2), stream, n));
        try (Variables vars = new Variables(d);
                Session s = new Session(g, d, vars)) {
            s.input("key").write(key);
            s.input("rows").write(rows);
            s.run();
            return s.output("y").toFloats();
        }
    }

    private static int[] random(int n) {
        return new SplittableRandom(n).ints(n).toArray();
    }

    @Test
    void numbersAreTheSameBitsOnEveryDevice() {
        List<Device> devices = new ArrayList<>(List.of(new SimDevice(false)));
        for (CpuDevice.Isa isa : CpuDevice.Isa.values())
            if (isa != CpuDevice.Isa.REFERENCE && isa.ordinal() <= CPU.isa().ordinal())
                for (int threads : new int[] {1, 3}) devices.add(CpuDevice.of(isa, threads));
        for (int n : new int[] {1, 2, 5, 64, 1003, 39_548}) {
            int[] rows = random(n > 1003 ? 2 : 14);
            float[] want = draw(CPU, KEY, rows, STREAM, n);
            for (Device d : devices) {
                float[] got = draw(d, KEY, rows, STREAM, n);
                for (int i = 0; i < want.length; i++)
                    assertEquals(
                            Float.floatToRawIntBits(want[i]),
                            Float.floatToRawIntBits(got[i]),
                            n + ", element " + i + " on " + d.name());
            }
        }
    }

    /** A root within 2 ulps, a direction within 3 and a rounded product: an error of at most 6 2^-23. */
    @Test
    void numbersArePhiloxAndBoxMuller() {
        int n = 10_007;
        int[] rows = random(4);
        float[] y = draw(CPU, KEY, rows, STREAM, n);
        for (int b = 0; b < 2; b++)
            for (int i = 0; i < n; i++) {
                int[] w = Philox.words(KEY, i / 4, STREAM, rows[2 * b], rows[2 * b + 1]);
                double u = (Integer.toUnsignedLong(w[i % 4 / 2 * 2]) + 0.5) / 0x1p32;
                double angle = 2 * Math.PI * (Integer.toUnsignedLong(w[i % 4 / 2 * 2 + 1]) + 0.5) / 0x1p32;
                double want = Math.sqrt(-2 * Math.log(u)) * (i % 2 == 0 ? Math.cos(angle) : Math.sin(angle));
                assertEquals(want, y[b * n + i], 6 * 0x1p-23 * Math.abs(want), "row " + b + ", element " + i);
            }
    }

    /** A run must resume with the noise that it began with. */
    @Test
    void numbersStayTheSameFromVersionToVersion() {
        float[] y = draw(CPU, new int[2], new int[2], 0, 6);
        assertArrayEquals(KNOWN, y, Arrays.toString(y));
    }

    private static final float[] KNOWN = {0.9911377f, -0.9246626f, -0.61760896f, -0.4820686f, -0.15363823f, 0.1808259f};

    @Test
    void aRowDependsNeitherOnItsBatchNorOnItsLength() {
        int[] rows = random(10);
        float[] all = draw(CPU, KEY, rows, STREAM, 1003);
        for (int b = 0; b < 5; b++)
            assertArrayEquals(
                    Arrays.copyOfRange(all, b * 1003, b * 1003 + 77),
                    draw(CPU, KEY, Arrays.copyOfRange(rows, 2 * b, 2 * b + 2), STREAM, 77));
    }

    @Test
    void everyWordCounts() {
        float[] one = draw(CPU, KEY, new int[] {3, 4}, STREAM, 4);
        for (float[] other : List.of(
                draw(CPU, new int[] {KEY[0] + 1, KEY[1]}, new int[] {3, 4}, STREAM, 4),
                draw(CPU, new int[] {KEY[0], KEY[1] + 1}, new int[] {3, 4}, STREAM, 4),
                draw(CPU, KEY, new int[] {4, 4}, STREAM, 4),
                draw(CPU, KEY, new int[] {3, 5}, STREAM, 4),
                draw(CPU, KEY, new int[] {3, 4}, STREAM + 1, 4))) assertNotEquals(one[0], other[0]);
    }

    /**
     * Sums of 2^20 numbers within 6 standard deviations of their expectations, and of products of neighbours. The
     * moments of x, x^2 and x^4 have the variances 1, 2 and 96, a product of two numbers 1, an indicator p (1 - p).
     */
    @Test
    void numbersAreNormalAndIndependent() {
        int n = 1 << 20;
        float[] x = draw(CPU, KEY, new int[] {1, 0}, 0, n), y = draw(CPU, KEY, new int[] {2, 0}, 0, n);
        double[] sums = new double[3], tails = new double[5], products = new double[9];
        for (int i = 0; i < n; i++) {
            double v = x[i];
            sums[0] += v;
            sums[1] += v * v - 1;
            sums[2] += v * v * v * v - 3;
            for (int k = 0; k < tails.length; k++) if (Math.abs(v) > k) tails[k]++;
            products[0] += v * y[i];
            for (int k = 1; k < products.length; k++) products[k] += v * x[(i + k) % n];
        }
        double six = 6 * Math.sqrt(n);
        assertEquals(0, sums[0], six);
        assertEquals(0, sums[1], six * Math.sqrt(2));
        assertEquals(0, sums[2], six * Math.sqrt(96));
        for (int k = 0; k < products.length; k++) assertEquals(0, products[k], six, "lag " + k);
        for (int k = 1; k < tails.length; k++) {
            double p = BEYOND[k];
            assertEquals(n * p, tails[k], six * Math.sqrt(p * (1 - p)), "beyond " + k);
        }
    }

    /** Probability that the absolute value of a normal number exceeds the index. */
    private static final double[] BEYOND = {1, 0.31731050786, 0.045500263896, 0.0026997960633, 6.334248367e-5};
}
