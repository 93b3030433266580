// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.io.Tensors;
import org.cortigan.nn.Weights;
import org.cortigan.op.CaseInputs;
import org.junit.jupiter.api.Test;

/** Compares the readout of region queries with PyTorch in double (tools/golden_readouts.py). */
class QueriesTest {
    private static final Path FILE = Path.of("src/test/resources/models/readouts.safetensors");
    private static final Queries QUERIES = new Queries("streams", List.of("a", "b", "c"), 2);

    private static double[] golden(SafeTensors t, String name) {
        return Tensors.doubles(t, "queries." + name);
    }

    private static void set(Storage s, double[] x) {
        assertEquals(x.length, s.type().shape().elements());
        for (int i = 0; i < x.length; i++) s.set(i, x[i]);
    }

    private static void compare(SafeTensors t, String name, Storage got) {
        double[] want = golden(t, name);
        double scale = Arrays.stream(want).map(Math::abs).max().orElseThrow();
        assertEquals(want.length, got.type().shape().elements(), name);
        for (int i = 0; i < want.length; i++) assertEquals(want[i], got.get(i), 1e-9 * scale, name + "[" + i + "]");
    }

    @Test
    void responsesAndGradientsMatchPyTorch() {
        CpuDevice ref = CpuDevice.doubleReference();
        Graph g = new Graph();
        Value tokens = g.input("tokens", DType.F32, 2, 10, 8), seed = g.input("seed", DType.F32, 2, 7);
        Weights w = Weights.in(g, DType.F32, "", false);
        Features regions = Queries.map(QUERIES.decode(w.sub("queries"), tokens));
        Value y = ReadoutHead.QUERIES.apply(w.sub("head"), regions, 7);
        g.output("out.0", y);
        List<Value> by = new ArrayList<>(w.differentiable());
        by.add(tokens);
        List<String> names =
                new ArrayList<>(w.specs().stream().map(Weights.Spec::name).toList());
        names.add("tokens");
        List<Value> d = Gradients.of(List.of(y), List.of(seed), by);
        for (int i = 0; i < by.size(); i++) g.output("grad." + names.get(i), d.get(i));
        try (SafeTensors t = SafeTensors.open(FILE);
                Variables vars = new Variables(ref);
                Session s = new Session(g, ref, vars)) {
            for (Weights.Spec p : w.specs()) set(vars.find(p.name()), golden(t, "in." + p.name()));
            set(vars.find("head.region"), golden(t, "in.head.region"));
            set(s.input("tokens"), golden(t, "in.tokens"));
            set(s.input("seed"), golden(t, "seed.0"));
            s.run();
            assertEquals(names.size() + 1, g.outputs().size());
            for (String k : g.outputs().keySet()) compare(t, k, s.output(k));
        }
    }

    @Test
    void attentionMapsMatchPyTorch() {
        CpuDevice ref = CpuDevice.doubleReference();
        Graph g = new Graph();
        Weights w = Weights.in(g, DType.F32, "", false);
        Value tokens = g.input("tokens", DType.F32, 2, 10, 8);
        AttentionScores scores = QUERIES.scores(w.sub("queries"), Features.tokens(tokens, 2, 2, 2));
        g.output("y", scores.value());
        try (SafeTensors t = SafeTensors.open(FILE);
                Variables vars = new Variables(ref);
                Session s = new Session(g, ref, vars)) {
            for (Weights.Spec p : w.specs()) set(vars.find(p.name()), golden(t, "in." + p.name()));
            set(s.input("tokens"), golden(t, "in.tokens"));
            s.run();
            float[] products = s.output("y").toFloats(), maps = new float[scores.elements()];
            double[] want = golden(t, "maps");
            for (int b = 0; b < 2; b++) {
                scores.maps(products, b * products.length / 2, maps);
                for (int i = 0; i < maps.length; i++) assertEquals(want[b * maps.length + i], maps[i], 1e-6);
            }
        }
    }

    /** The attention of every token by the definition of the softmax, from random products. */
    @Test
    void headsAndLayersAreSharesOfTheSameSoftmax() {
        int tokens = 14, heads = 2, queries = 3, places = 6;
        Graph g = new Graph();
        Features f = Features.tokens(g.input("tokens", DType.F32, 1, tokens, 8), 2, 2, 3);
        AttentionScores scores = QUERIES.scores(Weights.in(g, DType.F32, "", false), f);
        float[] products = CaseInputs.gaussian(new SplittableRandom(1), 5 + tokens * heads * queries);
        float[] map = new float[scores.elements()], mean = new float[scores.elements()];
        double[][] sums = new double[queries][2];
        for (int h = 0; h < heads; h++) {
            scores.mapsOfHead(h, products, 5, map);
            for (int r = 0; r < queries; r++) {
                double[] e = new double[tokens];
                for (int t = 0; t < tokens; t++)
                    e[t] = Math.exp(products[5 + t * heads * queries + h * queries + r] / Math.sqrt(4));
                double all = Arrays.stream(e).sum();
                for (int t = 0; t < tokens; t++) {
                    int layer = t / 7, place = t % 7 - 1;
                    sums[r][layer] += e[t] / all / heads;
                    if (place >= 0) assertEquals(e[t] / all, map[(r * 2 + layer) * places + place], 0x1p-24);
                }
            }
            for (int i = 0; i < mean.length; i++) mean[i] += map[i] / heads;
        }
        scores.maps(products, 5, map);
        assertArrayEquals(mean, map, 0x1p-23f);
        double[] layers = scores.layers(products, 5);
        for (int r = 0; r < queries; r++) {
            for (int l = 0; l < 2; l++) assertEquals(sums[r][l], layers[2 * r + l], 1e-14);
            assertEquals(1, layers[2 * r] + layers[2 * r + 1], 1e-14);
        }
    }

    @Test
    void aQueryThatAttendsToOnePatchHasItsMapThere() {
        Graph g = new Graph();
        Value tokens = g.input("tokens", DType.F32, 1, 14, 8);
        Features f = Features.tokens(tokens, 2, 2, 3);
        AttentionScores scores = QUERIES.scores(Weights.in(g, DType.F32, "", false), f);
        float[] products = new float[14 * 2 * 3], maps = new float[scores.elements()];
        // Query 1: in both heads token 7 + 1 + 4, the fifth place of the second layer. Query 2: the first class token.
        for (int head = 0; head < 2; head++) {
            products[12 * 6 + head * 3 + 1] = 1000;
            products[head * 3 + 2] = 1000;
        }
        scores.maps(products, 0, maps);
        float[] want = new float[3 * 2 * 6];
        Arrays.fill(want, 0, 12, 1 / 14f);
        want[12 + 6 + 4] = 1;
        assertArrayEquals(want, maps, 1e-7f);
    }

    /** A vertex reads the pixel of its region alone, whatever the number of regions. */
    @Test
    void aVertexReadsItsRegionExactly() {
        for (int regions : new int[] {1, 2, 3, 25, 33, 100}) {
            Graph g = new Graph();
            Weights w = Weights.in(g, DType.F32, "", false);
            Value z = g.input("z", DType.F32, 1, regions, 1);
            g.output("y", ReadoutHead.QUERIES.apply(w, Queries.map(z), regions));
            CpuDevice cpu = CpuDevice.best(1);
            try (Variables vars = new Variables(cpu);
                    Session s = new Session(g, cpu, vars)) {
                float[] values = new float[regions], numbers = new float[regions];
                for (int i = 0; i < regions; i++) {
                    numbers[i] = regions - 1 - i;
                    values[i] = (float) Math.exp(i % 40);
                }
                s.input("z").write(values);
                vars.find("weight").fill(1);
                vars.find("bias").fill(0);
                vars.find("region").write(numbers);
                s.run();
                float[] want = new float[regions];
                for (int v = 0; v < regions; v++) want[v] = values[regions - 1 - v];
                assertArrayEquals(want, s.output("y").toFloats());
            }
        }
    }

    @Test
    void recipesThatCannotBeMeantAreRefused() {
        InputException heads = assertThrows(
                InputException.class, () -> TestModels.generator("readout=queries", "features=64", "query_heads=5"));
        assertTrue(heads.getMessage().contains("query_heads"), heads.getMessage());
        InputException twice = assertThrows(
                InputException.class, () -> TestModels.generator("readout=queries", "query_regions=[V1v, V1v]"));
        assertTrue(twice.getMessage().contains("query_regions"), twice.getMessage());
        InputException numbers = assertThrows(
                InputException.class, () -> TestModels.generator("readout=queries", "query_regions=[1, 2]"));
        assertTrue(numbers.getMessage().contains("Give a list of names"), numbers.getMessage());
        InputException layers = assertThrows(InputException.class, () -> TestModels.generator("vit.layers=[last]"));
        assertTrue(layers.getMessage().contains("Give whole numbers"), layers.getMessage());
    }
}
