// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Shape;
import org.junit.jupiter.api.Test;

class LoraTest {
    private static final int RANK = 2, WIDTH = 8;
    private static final Lora ALL = new Lora(RANK, 3, EnumSet.allOf(Lora.Target.class));

    /** An encoder with updates of all layers. */
    static final Layers.Encoder UPDATED = with(ALL);

    private static Layers.Encoder with(Lora lora) {
        Layers.Encoder e = LayersTest.PLAIN;
        return new Layers.Encoder(e.depth(), e.heads(), e.mlpRatio(), e.eps(), e.activation(), false, lora);
    }

    /** Outputs and gradients of an encoder, for given values of its parameters. */
    private static Map<String, double[]> run(
            Layers.Encoder form, Layers.Tokens read, Device device, BiFunction<String, Integer, double[]> values) {
        Graph g = new LayersTest.Encoder(WIDTH, false, form, List.of(1, 3)).graph(read);
        try (Variables vars = new Variables(device);
                Session s = new Session(g, device, vars)) {
            vars.types()
                    .keySet()
                    .forEach(n -> set(vars.find(n), values.apply(n, vars.find(n).toFloats().length)));
            for (String n : List.of("x", "seed0", "seed1"))
                set(s.input(n), numbers(n, s.input(n).toFloats().length));
            s.run();
            Map<String, double[]> out = new TreeMap<>();
            g.outputs().keySet().forEach(n -> out.put(n, s.output(n).toDoubles()));
            return out;
        }
    }

    private static void set(Storage to, double[] values) {
        for (int i = 0; i < values.length; i++) to.set(i, values[i]);
    }

    private static double[] numbers(String name, int n) {
        float[] f = LayersTest.Encoder.numbers(name, n);
        double[] d = new double[n];
        for (int i = 0; i < n; i++) d[i] = f[i];
        return d;
    }

    /** W + alpha / rank B A, for the numbers of W, B and A. */
    private static double[] merged(String name, int n) {
        double[] w = numbers(name, n);
        if (!name.matches("blocks.*(qkv|proj|fc1|fc2).weight")) return w;
        int in = name.contains("fc2") ? 2 * WIDTH : WIDTH, out = n / in;
        List<String> pair = Lora.pairOf(name);
        double[] ba = product(numbers(pair.get(1), out * RANK), numbers(pair.get(0), RANK * in), out, RANK, in);
        for (int i = 0; i < n; i++) w[i] += ALL.factor() * ba[i];
        return w;
    }

    /** a [m, k] times b [k, n]. */
    private static double[] product(double[] a, double[] b, int m, int k, int n) {
        double[] c = new double[m * n];
        for (int i = 0; i < m; i++)
            for (int l = 0; l < k; l++) for (int j = 0; j < n; j++) c[i * n + j] += a[i * k + l] * b[l * n + j];
        return c;
    }

    private static double[] transposed(double[] a, int m, int n) {
        double[] t = new double[a.length];
        for (int i = 0; i < m; i++) for (int j = 0; j < n; j++) t[j * m + i] = a[i * n + j];
        return t;
    }

    private static void near(String name, double[] want, double[] got) {
        double scale = 0;
        for (double x : want) scale = Math.max(scale, Math.abs(x));
        assertTrue(scale > 1e-6, name + " is not zero");
        // In double, the order of sums changes some 1e-13 of the largest value.
        assertArrayEquals(want, got, 1e-11 * scale, name);
    }

    @Test
    void anUpdatedLayerIsThatOfTheMergedWeightAndItsGradientsFollowByTheChainRule() {
        for (Layers.Tokens read : Layers.Tokens.values()) {
            Device device = CpuDevice.doubleReference();
            Map<String, double[]> want = run(LayersTest.PLAIN, read, device, LoraTest::merged),
                    got = run(UPDATED, read, device, LoraTest::numbers);
            want.forEach((name, values) -> near(name, values, got.get(name)));
            int updates = 0;
            for (String name : want.keySet()) {
                if (!got.containsKey("d " + Lora.pairOf(name.substring(2)).get(0)) || !name.endsWith(".weight"))
                    continue;
                updates++;
                double[] dW = want.get(name);
                int in = name.contains("fc2") ? 2 * WIDTH : WIDTH, out = dW.length / in;
                List<String> pair = Lora.pairOf(name.substring(2));
                double[] a = numbers(pair.get(0), RANK * in), b = numbers(pair.get(1), out * RANK);
                double[] dA = product(transposed(b, out, RANK), dW, RANK, out, in);
                double[] dB = product(dW, transposed(a, RANK, in), out, in, RANK);
                for (double[] d : List.of(dA, dB)) for (int i = 0; i < d.length; i++) d[i] *= ALL.factor();
                near(pair.get(0), dA, got.get("d " + pair.get(0)));
                near(pair.get(1), dB, got.get("d " + pair.get(1)));
            }
            assertEquals(3 * 4, updates, "three blocks of four layers");
            assertEquals(want.size() + 2 * updates, got.size());
        }
    }

    @Test
    void anEncoderBeginsAsItIsWithoutUpdates() {
        for (Layers.Tokens read : Layers.Tokens.values()) {
            Device device = CpuDevice.best(1);
            Map<String, double[]> want = run(LayersTest.PLAIN, read, device, LoraTest::numbers);
            Map<String, double[]> got =
                    run(UPDATED, read, device, (name, n) -> name.contains("lora_B") ? new double[n] : numbers(name, n));
            for (String y : List.of("y0", "y1")) assertArrayEquals(want.get(y), got.get(y), y);
        }
    }

    @Test
    void updatesBeginAsThoseOfPeft() {
        List<Weights.Spec> specs = Weights.declaredBy(
                        DType.BF16,
                        "",
                        false,
                        w -> Layers.encoder(
                                w,
                                w.graph().input("x", DType.BF16, 1, 3, WIDTH),
                                with(new Lora(RANK, 1, EnumSet.of(Lora.Target.FC2))),
                                Layers.Tokens.ALL))
                .specs()
                .stream()
                .filter(s -> Lora.isUpdate(s.name()))
                .toList();
        assertEquals(
                List.of("blocks.0.mlp.fc2.lora_A.weight", "blocks.0.mlp.fc2.lora_B.weight"),
                specs.stream().map(Weights.Spec::name).limit(2).toList());
        assertEquals(6, specs.size());
        assertEquals(Shape.of(RANK, 2 * WIDTH), specs.get(0).shape());
        assertEquals(Shape.of(WIDTH, RANK), specs.get(1).shape());
        // torch's kaiming_uniform with a = sqrt(5) is uniform within 1 / sqrt(in).
        assertEquals(new Init(Init.Kind.UNIFORM, 0.25), specs.get(0).init());
        assertEquals(Init.ZEROS, specs.get(1).init());
        for (Weights.Spec s : specs) assertTrue(s.decay() && s.copy() && !s.spectral(), s.name());
    }
}
