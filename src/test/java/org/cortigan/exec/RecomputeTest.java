// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.cortigan.grad.Gradients;
import org.cortigan.grad.Recompute;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.ChannelNorm;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Recomputation of the layers between the convolutions of a diffusion model's UNet. */
class RecomputeTest {
    private static final int B = 2, SIDE = 6, C = 8;

    /** Two residual blocks' normalised convolutions, a transformer's MLP, and the gradients of all inputs. */
    private static Graph graph(DType t) {
        Graph g = new Graph();
        Value x = g.input("x", t, B, SIDE, SIDE, C), shift = g.input("shift", t, B, C);
        List<Value> wrt = new ArrayList<>(List.of(x, shift));
        Value h = x;
        for (int i = 0; i < 2; i++) {
            Value gamma = g.input("gamma" + i, DType.F32, C), beta = g.input("beta" + i, DType.F32, C);
            Value w = g.input("w" + i, t, C, C, 3, 3);
            wrt.addAll(List.of(gamma, beta, w));
            ChannelNorm norm = new ChannelNorm(2, false, 1e-5, new Activation(Activation.Kind.SWISH, 1));
            List<Value> in = i == 0 ? List.of(h, gamma, beta) : List.of(h, gamma, beta, shift);
            h = Ops.conv2d(g.apply(norm, in).output(0), w, null, null, 1, 1, 1, 1);
        }
        Value in = g.input("in", t, 4 * C, C), out = g.input("out", t, C, 2 * C);
        wrt.addAll(List.of(in, out));
        Value wide = Ops.matmul(Ops.reshape(h, B * SIDE * SIDE, C), in, false, true, null, null, t);
        Value y = Ops.matmul(Ops.geglu(wide), out, false, true, null, null, t);
        g.output("y", y);
        List<Value> d =
                Gradients.of(List.of(y), List.of(g.input("seed", t, y.shape().dims())), wrt);
        for (int i = 0; i < wrt.size(); i++) g.output("d" + i, d.get(i));
        return g;
    }

    private static Map<String, float[]> run(Graph g, Device d) {
        try (Variables vars = new Variables(d);
                Session s = new Session(g, d, vars)) {
            g.nodes().stream().filter(n -> n.op() instanceof Leaf.Input).forEach(n -> {
                String id = ((Leaf.Input) n.op()).id();
                SplittableRandom r = new SplittableRandom(id.hashCode());
                float[] f = new float[(int) n.output(0).shape().elements()];
                for (int i = 0; i < f.length; i++) f[i] = (float) r.nextGaussian();
                s.input(id).write(f);
            });
            s.run();
            Map<String, float[]> out = new HashMap<>();
            for (String k : g.outputs().keySet()) out.put(k, s.output(k).toFloats());
            return out;
        }
    }

    private static long count(Graph g, String op) {
        return g.nodes().stream().filter(n -> n.op().name().equals(op)).count();
    }

    @Test
    void recomputedNormalisationsAndGatesChangeNoBit() {
        for (Device d : List.of(CpuDevice.best(2), new SimDevice(false)))
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                if (!d.supports(t)) continue;
                Graph kept = graph(t), again = Recompute.cheap(kept);
                assertEquals(2 * count(kept, "channel_norm"), count(again, "channel_norm"));
                assertEquals(2 * count(kept, "geglu"), count(again, "geglu"));
                Map<String, float[]> want = run(kept, d), got = run(again, d);
                assertEquals(want.keySet(), got.keySet());
                want.forEach((k, v) -> assertArrayEquals(v, got.get(k), d.name() + " " + t + " " + k));
            }
    }

    @Test
    void recomputationNeedsLessMemory() {
        Graph g = graph(DType.F32);
        long kept = Session.plan(g, new NullDevice()).report().arenaBytes();
        long again = Session.plan(Recompute.cheap(g), new NullDevice()).report().arenaBytes();
        assertTrue(again < kept, "arena " + kept + ", recomputed " + again);
    }
}
