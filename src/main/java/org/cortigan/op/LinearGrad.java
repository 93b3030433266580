// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradients of a linear layer by its weight and bias: inputs dY [R, M] and x [R, N]; outputs dW = dY^T x [M, N] and the
 * sums of dY [M], both f32. One op, as libraries sum dY while they multiply with it.
 */
public record LinearGrad() implements Op {
    @Override
    public String name() {
        return "linear_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value dY = in.get(0), x = in.get(1);
        Op.require(
                dY.shape().rank() == 2 && x.shape().rank() == 2 && dY.dim(0) == x.dim(0),
                this,
                in,
                "dY must be [R, M], x [R, N]");
        Op.require(dY.dtype() == x.dtype() && x.dtype().isFloat(), this, in, "dY and x must have one type");
        return List.of(new Type(DType.F32, Shape.of(dY.dim(1), x.dim(1))), new Type(DType.F32, Shape.of(dY.dim(1))));
    }

    @Override
    public Cost cost(Node n) {
        double dY = n.input(0).shape().elements();
        return Op.cost(n, 2 * dY * n.input(1).dim(1) + dY);
    }

    @Override
    public String kernel() {
        return "linear_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value dY = n.input(0), x = n.input(1);
        w.state().in(0).in(1).out(1).none().out(0).scratch();
        w.i64(dY.dim(1)).i64(x.dim(1)).i64(x.dim(0)).i64(1).i64(0);
        w.i64(dY.dtype().variant()).i64(x.dtype().variant()).i64(DType.F32.variant());
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int[] s : new int[][] {{1, 1, 1}, {5, 9, 4}, {33, 17, 70}, {130, 65, 257}, {3, 39548, 2}, {2, 3, 39548}})
            c.add(of(s).noGradient());
        c.add(of(new int[] {1576, 768, 768}).benchmark());
        return c;
    }

    /** R rows, M outputs, N inputs of the layer. */
    private static OpCase of(int[] s) {
        return OpCase.of(
                "linear_grad " + s[0] + "x" + s[1] + "x" + s[2],
                s[0] + 2,
                g -> g.graph()
                        .apply(new LinearGrad(), g.normal(s[0], s[1]), g.normal(s[0], s[2]))
                        .outputs());
    }
}
