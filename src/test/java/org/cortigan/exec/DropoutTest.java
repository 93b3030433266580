// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.Dropout;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The masks of dropout: the same bits everywhere, and random. */
class DropoutTest {
    private static final CpuDevice CPU = CpuDevice.best(2);

    /**
     * Largest deviation of a sum from its expectation, in standard deviations. A normal number exceeds it with a
     * probability of 2e-9, and the tests look at less than a thousand sums.
     */
    private static final double DEVIATIONS = 6;

    /** Enough for two threads, and no multiple of a vector. */
    private static final int LARGE = 100_003;

    /** Dropout of a vector of ones at two sites of one graph. */
    private static final class Masks implements AutoCloseable {
        private final Variables vars;
        private final Session session;

        Masks(Device d, DType t, int n, double rate) {
            Graph g = new Graph();
            Value x = g.input("x", t, n);
            Value y = Ops.dropout(x, rate, "one", 0);
            g.output("one", y);
            g.output("two", Ops.dropout(x, rate, "two", 0));
            Value ones = g.input("dY", t, n);
            g.output(
                    "gradient",
                    Gradients.of(List.of(y), List.of(ones), List.of(x)).get(0));
            vars = new Variables(d);
            session = new Session(g, d, vars);
            session.input("x").fill(1);
            session.input("dY").fill(1);
        }

        /** @param key any number */
        Masks run(long key) {
            long bits = new SplittableRandom(key).nextLong();
            session.input(Dropout.KEY).write(new int[] {(int) bits, (int) (bits >> 32)});
            session.run();
            return this;
        }

        float[] get(String output) {
            return session.output(output).toFloats();
        }

        boolean[] kept(String output) {
            float[] y = get(output);
            boolean[] kept = new boolean[y.length];
            for (int i = 0; i < y.length; i++) kept[i] = y[i] != 0;
            return kept;
        }

        @Override
        public void close() {
            session.close();
            vars.close();
        }
    }

    private static boolean[] mask(Device d, DType t, int n, double rate) {
        try (Masks m = new Masks(d, t, n, rate)) {
            return m.run(7).kept("one");
        }
    }

    @Test
    void masksAreTheSameBitsOnEveryDevice() {
        List<Device> devices = new ArrayList<>(List.of(new SimDevice(false)));
        for (CpuDevice.Isa isa : CpuDevice.Isa.values())
            if (isa.ordinal() <= CPU.isa().ordinal())
                for (int threads : new int[] {1, 2, 3}) devices.add(CpuDevice.of(isa, threads));
        for (int n : new int[] {1, 5, 1003, LARGE}) {
            boolean[] want = mask(CpuDevice.doubleReference(), DType.F32, n, 0.3);
            for (Device d : devices)
                for (DType t : new DType[] {DType.F32, DType.BF16})
                    if (d.supports(t) && !(n == LARGE && d instanceof SimDevice))
                        assertArrayEquals(want, mask(d, t, n, 0.3), n + " of " + t + " on " + d.name());
        }
    }

    /** The numbers are of an independent implementation; a run must resume with the masks that it began with. */
    @Test
    void masksStayTheSameFromVersionToVersion() {
        assertEquals(0x5055347ee27c8936L, bits("one", 0.5));
        assertEquals(0xfbe59c163cefdbf7L, bits("two", 0.3));
    }

    private static long bits(String site, double rate) {
        try (Masks m = new Masks(CPU, DType.F32, Long.SIZE, rate)) {
            boolean[] kept = m.run(7).kept(site);
            long bits = 0;
            for (int i = 0; i < Long.SIZE; i++) if (kept[i]) bits |= 1L << i;
            return bits;
        }
    }

    @Test
    void keptElementsAreScaledAndTheGradientHasTheSameMask() {
        try (Masks m = new Masks(CPU, DType.F32, 1003, 0.2)) {
            m.run(1);
            for (float y : m.get("one")) assertTrue(y == 0 || y == 1.25f, "y is " + y);
            assertArrayEquals(m.get("one"), m.get("gradient"));
            m.session.input("x").fill(Double.NaN);
            boolean[] kept = m.kept("gradient");
            float[] y = m.run(1).get("one");
            for (int i = 0; i < y.length; i++) assertEquals(kept[i] ? Float.NaN : 0, y[i], "element " + i);
        }
    }

    @Test
    void aRateOfOneIsRefused() {
        Value x = new Graph().input("x", DType.F32, 4);
        for (double rate : new double[] {-0.1, 1, Double.NaN})
            assertThrows(IllegalArgumentException.class, () -> Ops.dropout(x, rate, "site", 0));
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.1, 0.5, 0.9})
    void aMaskHasItsRateAndItsNeighboursAreIndependent(double rate) {
        int n = 1 << 18;
        try (Masks m = new Masks(CPU, DType.F32, n, rate)) {
            for (long step = 0; step < 8; step++) {
                boolean[] kept = m.run(step).kept("one");
                int sum = 0;
                for (boolean k : kept) sum += k ? 1 : 0;
                assertEquals(n * (1 - rate), sum, DEVIATIONS * Math.sqrt(n * rate * (1 - rate)), "step " + step);
                for (int lag : new int[] {1, 2, 3, 4, 7, 8, 16, 64, 100, 256, 1024, 4800, 65_536})
                    independent(kept, kept, lag, rate, "step " + step + ", lag " + lag);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.1, 0.5, 0.9})
    void stepsAndSitesAreIndependent(double rate) {
        int n = 1 << 18;
        try (Masks m = new Masks(CPU, DType.F32, n, rate)) {
            boolean[] before = m.run(0).kept("two");
            for (long step = 1; step < 16; step++) {
                m.run(step);
                boolean[] one = m.kept("one"), two = m.kept("two");
                independent(one, two, 0, rate, "sites, step " + step);
                independent(before, two, 0, rate, "steps " + (step - 1) + " and " + step);
                before = two;
            }
        }
    }

    /**
     * Correlates a[i] with b[i + lag]. Of independent masks, each product of deviations has expectation 0 and variance
     * (p (1 - p))^2.
     */
    private static void independent(boolean[] a, boolean[] b, int lag, double rate, String what) {
        double sum = 0;
        int n = a.length - lag;
        for (int i = 0; i < n; i++) sum += (a[i] ? rate : rate - 1) * (b[i + lag] ? rate : rate - 1);
        assertEquals(0, sum, DEVIATIONS * Math.sqrt(n) * rate * (1 - rate), what);
    }

    /** Pearson's chi-square over the 256 patterns of 8 neighbours at rate 1/2: mean 255 and variance 510. */
    @Test
    @Tag("slow")
    void allPatternsOfNeighboursAreEquallyFrequent() {
        int n = 1 << 20, patterns = 256;
        try (Masks m = new Masks(CPU, DType.F32, n, 0.5)) {
            for (long step = 0; step < 16; step++) {
                boolean[] kept = m.run(step).kept("one");
                int[] count = new int[patterns];
                for (int i = 0; i < n; i += 8) {
                    int pattern = 0;
                    for (int k = 0; k < 8; k++) pattern = pattern * 2 + (kept[i + k] ? 1 : 0);
                    count[pattern]++;
                }
                double expected = n / 8.0 / patterns, chi = 0;
                for (int c : count) chi += (c - expected) * (c - expected) / expected;
                assertEquals(patterns - 1, chi, DEVIATIONS * Math.sqrt(2 * (patterns - 1)), "step " + step);
            }
        }
    }
}
