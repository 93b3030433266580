// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.LayerChoice;
import org.junit.jupiter.api.Test;

/** What readouts have learned, compared with what the engine computes of the same parameters. */
class LearnedReadoutTest {
    private static final ModelConfig.Subject FIRST = new ModelConfig.Subject("subj01", 2, 3),
            SECOND = new ModelConfig.Subject("subj02", 1, 1);

    private static final String[] VIT = {
        "image=16", "features=4", "vit.patch=8", "vit.width=8", "vit.heads=2", "vit.depth=3"
    };

    private static ModelConfig config(String... options) {
        String[] all = Arrays.copyOf(VIT, VIT.length + options.length);
        System.arraycopy(options, 0, all, VIT.length, options.length);
        return new ModelConfig(
                TestModels.generator(all),
                Optional.empty(),
                TestModels.recipe().section("model"),
                List.of(FIRST, SECOND));
    }

    /** A value of a parameter that depends on its name and index. */
    private static float[] values(ModelConfig c, String name) {
        Weights w = c.generatorWeights(DType.F32);
        long n = w.specs().stream()
                .filter(s -> s.name().equals(name))
                .findFirst()
                .orElseThrow()
                .shape()
                .elements();
        return CaseInputs.gaussian(new SplittableRandom(name.hashCode()), (int) n);
    }

    private static LearnedReadout of(ModelConfig c, ModelConfig.Subject s) {
        assertTrue(LearnedReadout.isIn(c.generator()));
        return LearnedReadout.of(Model.of(c, name -> values(c, name)), s);
    }

    @Test
    void positionsAndLayersAreThoseOfTheSubjectsHead() {
        ModelConfig c = config("readout=position", "vit.layers=[1, 3]");
        for (ModelConfig.Subject s : c.subjects()) {
            LearnedReadout l = of(c, s);
            float[] raw = values(c, "generator.head." + s.name() + ".position"),
                    at = l.positions().orElseThrow();
            assertEquals(2 * s.vertices(), at.length);
            // tanh by its definition, not by Math.tanh
            for (int i = 0; i < at.length; i++) {
                double e = Math.exp(2.0 * raw[i]);
                assertEquals((e - 1) / (e + 1), at[i], 0x1p-23);
            }
            assertEquals(2 * s.vertices(), l.layers().orElseThrow().length);
            assertEquals(List.of("block 1", "block 3"), l.layerNames());
        }
    }

    /** The share of a layer is the norm of the weights that the engine reads it with. */
    @Test
    void theShareOfALayerIsTheNormOfItsWeights() {
        for (String readout : new String[] {"position", "factorised", "dense"}) {
            ModelConfig c = config("readout=" + readout, "vit.layers=[1, 2, 3]");
            float[] shares = of(c, FIRST).layers().orElseThrow();
            int v = FIRST.vertices(), features = 4;
            CpuDevice ref = CpuDevice.doubleReference();
            Graph g = new Graph();
            Value a = g.input("a", DType.F32, v, 3), f = g.input("f", DType.F32, v, features);
            g.output("w", g.apply(new LayerChoice(DType.F32), a, f).output(0));
            try (Variables vars = new Variables(ref);
                    Session s = new Session(g, ref, vars)) {
                s.input("a").write(values(c, "generator.head.subj01.layers"));
                s.input("f").write(values(c, "generator.head.subj01.weight"));
                s.run();
                for (int i = 0; i < v; i++) {
                    double[] norms = new double[3];
                    for (int k = 0; k < 3 * features; k++)
                        norms[k / features] += Math.pow(s.output("w").get(i * 3 * features + k), 2);
                    double sum = 0;
                    for (double n : norms) sum += Math.sqrt(n);
                    for (int l = 0; l < 3; l++) assertEquals(Math.sqrt(norms[l]) / sum, shares[3 * i + l], 0x1p-22);
                }
            }
        }
    }

    /** x is to the right and y down: a vertex responds to the pixel that its position names. */
    @Test
    void aVertexReadsThePixelAtItsPosition() {
        CpuDevice ref = CpuDevice.doubleReference();
        Graph g = new Graph();
        Weights w = Weights.in(g, DType.F32, "", false);
        Value map = g.input("map", DType.F32, 1, 1, 3, 4, 1);
        g.output("y", ReadoutHead.POSITION.apply(w, Features.maps(map), 2));
        // The middles of row 0, column 3 and of row 2, column 1.
        double[] at = {0.75, -2 / 3.0, -0.25, 2 / 3.0};
        float[] raw = new float[4], pixels = new float[12];
        for (int i = 0; i < 4; i++) raw[i] = (float) (0.5 * Math.log((1 + at[i]) / (1 - at[i])));
        pixels[3] = 1;
        pixels[2 * 4 + 1] = 2;
        try (Variables vars = new Variables(ref);
                Session s = new Session(g, ref, vars)) {
            vars.find("weight").fill(1);
            vars.find("bias").fill(0);
            vars.find("position").write(raw);
            s.input("map").write(pixels);
            s.run();
            assertArrayEquals(new float[] {1, 2}, s.output("y").toFloats(), 1e-5f);
        }
        ModelConfig c = config("readout=position");
        Model m = Model.of(c, name -> name.equals("generator.head.subj02.position") ? raw : values(c, name));
        float[] positions = LearnedReadout.of(m, SECOND).positions().orElseThrow();
        for (int i = 0; i < 4; i++) assertEquals(at[i], positions[i], 0x1p-22);
    }

    @Test
    void otherReadoutsHaveNone() {
        for (String readout : new String[] {"dense", "factorised"}) {
            ModelConfig c = config("readout=" + readout);
            assertFalse(LearnedReadout.isIn(c.generator()));
            LearnedReadout l = LearnedReadout.of(Model.of(c, name -> values(c, name)), FIRST);
            assertTrue(l.positions().isEmpty()
                    && l.layers().isEmpty()
                    && l.layerNames().isEmpty());
        }
        LearnedReadout one = of(config("readout=position", "vit.layers=[2]"), FIRST);
        assertTrue(one.positions().isPresent() && one.layers().isEmpty());
        ModelConfig queries = config("readout=queries", "vit.layers=[1, 2]", "query_heads=2", "query_regions=[a, b]");
        LearnedReadout q = of(queries, SECOND);
        assertTrue(q.positions().isEmpty() && q.layers().isEmpty(), "its queries choose, not its vertices");
        assertEquals(List.of("block 1", "block 2"), q.layerNames());
        assertEquals(
                List.of("mid", "up0"),
                TestModels.generator("type=sd", "image=512", "sd.layers=[mid, up0]")
                        .backbone()
                        .layerNames());
    }
}
