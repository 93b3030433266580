// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

class LayersTest {
    private static final int BATCH = 2, TOKENS = 7, DEPTH = 3, HEADS = 2;
    static final Layers.Encoder PLAIN = new Layers.Encoder(DEPTH, HEADS, 2);
    private static final Layers.Encoder DINO =
            new Layers.Encoder(DEPTH, HEADS, 2, 1e-5, Layers.MlpActivation.QUICK_GELU, true, Lora.NONE);

    /** Class tokens after blocks of an encoder, and the gradients of all its parameters and of its input. */
    record Encoder(int width, boolean spectral, Layers.Encoder form, List<Integer> after) {
        Graph graph(Layers.Tokens read) {
            Graph g = new Graph();
            Weights w = Weights.in(g, DType.F32, "", spectral);
            Value x = g.input("x", DType.F32, BATCH, TOKENS, width);
            List<Value> tokens = Layers.encoder(w, x, form, read, after);
            List<Value> seen = new ArrayList<>(), seeds = new ArrayList<>();
            for (int i = 0; i < tokens.size(); i++) {
                seen.add(Ops.slice(tokens.get(i), 1, 0, 1));
                seeds.add(g.input("seed" + i, DType.F32, BATCH, 1, width));
                g.output("y" + i, seen.get(i));
            }
            List<Value> wrt = new ArrayList<>(w.differentiable());
            wrt.add(x);
            List<Value> d = Gradients.of(seen, seeds, wrt);
            for (int i = 0; i < w.specs().size(); i++)
                g.output("d " + w.specs().get(i).name(), d.get(i));
            g.output("d x", d.get(d.size() - 1));
            return g;
        }

        /** Values of all outputs, for values of inputs and parameters that follow from their names alone. */
        Map<String, float[]> run(Layers.Tokens read, Device device) {
            Graph g = graph(read);
            try (Variables vars = new Variables(device);
                    Session s = new Session(g, device, vars)) {
                vars.types()
                        .keySet()
                        .forEach(n -> vars.find(n).write(numbers(n, vars.find(n).toFloats().length)));
                for (String n : List.of("x", "seed0", "seed1", "seed2"))
                    if (s.hasInput(n)) s.input(n).write(numbers(n, s.input(n).toFloats().length));
                s.run();
                Map<String, float[]> out = new TreeMap<>();
                g.outputs().keySet().forEach(n -> out.put(n, s.output(n).toFloats()));
                return out;
            }
        }

        static float[] numbers(String name, int n) {
            SplittableRandom r = new SplittableRandom(name.hashCode());
            float[] f = new float[n];
            for (int i = 0; i < n; i++) f[i] = (float) (r.nextDouble() - 0.5);
            return f;
        }
    }

    private static Stream<Encoder> encoders() {
        return Stream.of(
                new Encoder(8, false, PLAIN, List.of(3)),
                new Encoder(64, false, PLAIN, List.of(3)),
                new Encoder(64, true, PLAIN, List.of(3)),
                new Encoder(8, true, PLAIN, List.of(1, 3)),
                new Encoder(8, false, PLAIN, List.of(1, 2)),
                new Encoder(8, false, DINO, List.of(1, 3)),
                new Encoder(8, false, LoraTest.UPDATED, List.of(1, 3)),
                new Encoder(64, false, LoraTest.UPDATED, List.of(3)));
    }

    @Test
    void theClassTokenAloneIsTheClassTokenAmongAll() {
        encoders().forEach(e -> {
            Map<String, float[]> all = e.run(Layers.Tokens.ALL, CpuDevice.doubleReference()),
                    alone = e.run(Layers.Tokens.CLASS, CpuDevice.doubleReference());
            assertEquals(all.keySet(), alone.keySet(), "parameters of " + e);
            all.forEach((name, want) -> {
                // In double, the order of sums changes some 1e-13 of the largest value; the rest is rounding to float.
                double scale = 0;
                for (float f : want) scale = Math.max(scale, Math.abs(f));
                assertArrayEquals(want, alone.get(name), (float) (scale * 0x1p-23), name + " of " + e);
                assertTrue(scale > 0, name);
            });
        });
    }

    /** FLOPs of the nodes of a graph by op. */
    private static Map<String, Double> flops(Graph g) {
        return g.nodes().stream()
                .filter(n -> n.op() instanceof Op)
                .collect(Collectors.groupingBy(
                        n -> n.op().name(),
                        TreeMap::new,
                        Collectors.summingDouble(n -> Op.of(n).cost(n).flops())));
    }

    @Test
    void theLastBlockWorksForOneToken() {
        Encoder e = new Encoder(64, false, PLAIN, List.of(3));
        Map<String, Double> all = flops(e.graph(Layers.Tokens.ALL)), alone = flops(e.graph(Layers.Tokens.CLASS));
        double attention = 4.0 * BATCH * TOKENS * TOKENS * 64, others = TOKENS - 1;
        assertEquals(attention * (2 + 1.0 / TOKENS), alone.get("attention"));
        // Of the 8 E^2 weights of a block, q, proj, fc1 and fc2 (6 E^2) see one token; their gradients too.
        double perToken = 2.0 * BATCH * 6 * 64 * 64;
        double saved = all.get("matmul") + all.get("linear_grad") - alone.get("matmul") - alone.get("linear_grad");
        // linear_grad also sums the gradient of the biases: 1 + 1 + 2 + 1 times E.
        assertEquals(others * (3 * perToken + BATCH * 5 * 64), saved);
    }

    @Test
    void partsOfTheWeightAndItsGradientAreNeverCopied() {
        Graph g = new Encoder(64, true, PLAIN, List.of(3)).graph(Layers.Tokens.CLASS);
        CpuDevice cpu = CpuDevice.best(2);
        try (Variables vars = new Variables(cpu);
                Session s = new Session(g, cpu, vars)) {
            long copied = Arrays.stream(s.launched())
                    .filter(n -> n.op().name().equals("assemble"))
                    .mapToLong(n -> n.output(0).shape().elements())
                    .max()
                    .orElse(0);
            assertEquals(BATCH * TOKENS * 64, copied, "the largest copy is the gradient of all tokens");
        }
    }

    @Test
    void dropoutIsInTrainingOnlyAndEverySiteHasItsOwn() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 3, 5);
        Weights training = Weights.in(g, DType.F32, "", false);
        Weights prediction = Weights.in(g, DType.F32, "", false, Weights.Use.PREDICT);
        assertSame(x, Layers.dropout(prediction.sub("a"), x, 0.5));
        assertSame(x, Layers.dropout(training.sub("a"), x, 0));
        assertEquals(1, g.nodes().size());
        Value a = Layers.dropout(training.sub("a"), x, 0.5), b = Layers.dropout(training.sub("b"), x, 0.5);
        assertNotEquals(a.node().op(), b.node().op());
        assertEquals(
                a.node().op(), Layers.dropout(training.sub("a"), x, 0.5).node().op());
        assertEquals(a.node().input(1), b.node().input(1), "all dropouts read one key");
    }
}
