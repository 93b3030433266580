// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Overwrites a variable x with c0 x + c1 y. Inputs: x and y f32 of one shape, c f32 [2]. Output: x after the step.
 * Where c0 is 0, the old contents do not matter, so that a new variable needs no contents.
 */
record Blend() implements Op.Update {
    @Override
    public String name() {
        return "blend";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type x = in.get(0).type();
        Op.require(
                in.size() == 3 && x.dtype() == DType.F32 && in.get(1).type().equals(x),
                this,
                in,
                "x and y must be f32 of one shape");
        Op.require(in.get(2).type().equals(Type.of(DType.F32, 2)), this, in, "the coefficients must be f32[2]");
        return List.of(x);
    }

    @Override
    public int storage(int output) {
        return 0;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 3.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("y", 1).in("c", 2).i64("n", n.input(0).shape().elements());
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int n : new int[] {1, 37, 70_001})
            c.add(OpCase.of("blend " + n, 2, g -> of(g, n, 0.7f))
                    // Both terms are of a few standard deviations and may cancel.
                    .scaled(4)
                    .noGradient());
        c.add(OpCase.of("blend over the old contents 1003", 2, g -> of(g, 1003, 0))
                .noGradient());
        c.add(OpCase.of("blend 16x39548", 2, g -> of(g, 16 * 39548, 0.7f)).benchmark());
        return c;
    }

    private static List<Value> of(CaseInputs g, int n, float keep) {
        Value x = g.variable(DType.F32, r -> CaseInputs.gaussian(r, n), n);
        Value y = g.filled(DType.F32, r -> CaseInputs.gaussian(r, n), n);
        return List.of(Ops.blend(x, y, g.filled(DType.F32, r -> new float[] {keep, -1.3f}, 2)));
    }
}
