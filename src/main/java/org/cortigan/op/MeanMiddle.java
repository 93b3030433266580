// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/** Mean over the middle axis, [B, N, C] to [B, C], for pooling tokens or pixels. Sums are f32. */
record MeanMiddle() implements Op {
    @Override
    public String name() {
        return "mean_middle";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(x.shape().rank() == 3 && x.dtype().isFloat(), this, in, "x must be a floating-point [B, N, C]");
        return List.of(new Type(x.dtype(), Shape.of(x.dim(0), x.dim(2))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return n.graph().apply(new Grad(n.input(0).dim(1)), dOut.get(0)).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.in("x", 0).out("y", 0).i64("B", x.dim(0)).i64("N", x.dim(1)).i64("C", x.dim(2));
    }

    /** Gradient of {@link MeanMiddle}: dY [B, C] divided by n and repeated to [B, n, C]. */
    record Grad(int n) implements Op.Gradient {
        @Override
        public String name() {
            return "mean_middle_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Value d = in.get(0);
            return List.of(new Type(d.dtype(), Shape.of(d.dim(0), n, d.dim(1))));
        }

        @Override
        public Cost cost(Node node) {
            return Op.cost(node, node.output(0).shape().elements());
        }

        @Override
        public void args(Node node, ArgWriter w) {
            Value d = node.input(0);
            w.in("dY", 0).out("dX", 0).i64("B", d.dim(0)).i64("N", n).i64("C", d.dim(1));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1),
                of(2, 5, 3),
                of(3, 7, 33),
                of(8, 196, 192),
                of(8, 196, 768).benchmark());
    }

    private static OpCase of(int b, int n, int c) {
        return OpCase.of("mean_middle " + b + "x" + n + "x" + c, n, g -> List.of(Ops.meanMiddle(g.normal(b, n, c))));
    }
}
