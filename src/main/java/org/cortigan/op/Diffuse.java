// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Noisy samples of a diffusion model and its targets (Ho et al. 2020). Inputs: samples x0 f32 [B, V], noise f32 [B, V],
 * timesteps i32 [B], table f32 [T, 4] of a, s, p and q for each timestep. Outputs, f32 [B, V] each: a x0 + s noise, and
 * the target p x0 + q noise. A timestep outside the table ends the run with an error (on a GPU its row is NaN). No
 * gradient, since all inputs are data.
 */
record Diffuse() implements Op.OfData {
    @Override
    public String name() {
        return "diffuse";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type x = in.get(0).type();
        Op.require(
                in.size() == 4
                        && x.dtype() == DType.F32
                        && x.shape().rank() == 2
                        && in.get(1).type().equals(x),
                this,
                in,
                "samples and noise must be f32[B, V]");
        Op.require(in.get(2).type().equals(Type.of(DType.I32, x.shape().dim(0))), this, in, "timesteps must be i32[B]");
        Value table = in.get(3);
        Op.require(table.type().equals(Type.of(DType.F32, table.dim(0), 4)), this, in, "the table must be f32[T, 4]");
        return List.of(x, x);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 6.0 * n.input(0).shape().elements());
    }

    /** The noisy samples take the place of the noise, the targets that of the samples. */
    @Override
    public int inPlace(Node n, int output) {
        return 1 - output;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x0", 0).in("noise", 1).in("t", 2).in("table", 3).out("x", 0).out("target", 1);
        w.i64("B", n.input(0).dim(0))
                .i64("V", n.input(0).dim(1))
                .i64("T", n.input(3).dim(0));
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int[] size : new int[][] {{1, 1}, {3, 5}, {7, 37}, {4, 9001}})
            c.add(OpCase.of("diffuse " + size[0] + "x" + size[1], 2, g -> of(g, size[0], size[1]))
                    // Both terms are of a few standard deviations and may cancel.
                    .scaled(4)
                    .noGradient());
        c.add(OpCase.of("diffuse 16x39548", 2, g -> of(g, 16, 39548)).benchmark());
        return c;
    }

    private static List<Value> of(CaseInputs g, int batch, int vertices) {
        int steps = 11;
        Value x0 = g.copy(g.filled(DType.F32, r -> CaseInputs.gaussian(r, batch * vertices), batch, vertices));
        Value noise = g.copy(g.filled(DType.F32, r -> CaseInputs.gaussian(r, batch * vertices), batch, vertices));
        Value table = g.filled(DType.F32, r -> CaseInputs.gaussian(r, 4 * steps), steps, 4);
        return Ops.diffuse(x0, noise, g.index(steps, batch), table).outputs();
    }
}
