// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Readout weights of every vertex over L layers of C features: w[v, l C + c] = softmax_l(a[v])[l] f[v, c], a learned
 * choice of layer times a feature vector that the layers share. Inputs: a [V, L] and f [V, C], both f32. Output: w [V,
 * L * C].
 *
 * @param out element type of w, which is that of the product that reads w
 */
public record LayerChoice(DType out) implements Op {
    @Override
    public String name() {
        return "layer_choice";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value a = in.get(0), f = in.get(1);
        for (Value v : in)
            Op.require(v.dtype() == DType.F32 && v.shape().rank() == 2, this, in, "a and f must be f32 matrices");
        Op.require(a.dim(0) == f.dim(0), this, in, "a [V, L] and f [V, C] must have one row for each vertex");
        return List.of(Type.of(out, a.dim(0), Math.multiplyExact(a.dim(1), f.dim(1))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return n.graph().apply(new Grad(), dOut.get(0), n.input(0), n.input(1)).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(
                n, n.output(0).shape().elements() + 20.0 * n.input(0).shape().elements());
    }

    @Override
    public DType variant(Node n) {
        return out;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("a", 0).in("f", 1).out("w", 0);
        w.i64("V", n.input(0).dim(0))
                .i64("L", n.input(0).dim(1))
                .i64("C", n.input(1).dim(1));
    }

    /** Gradients of {@link LayerChoice}. Inputs: dW (f32 from a product, or w's type), a, f. Outputs: da, df. */
    record Grad() implements Op.Gradient {
        @Override
        public String name() {
            return "layer_choice_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Value a = in.get(1), f = in.get(2);
            Op.require(
                    in.get(0).shape().elements() == (long) a.dim(0) * a.dim(1) * f.dim(1),
                    this,
                    in,
                    "dW must be [V, L * C]");
            return List.of(a.type(), f.type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(
                    n,
                    4.0 * n.input(0).shape().elements()
                            + 30.0 * n.input(1).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("dW", 0).in("a", 1).in("f", 2).out("da", 0).out("df", 1);
            w.i64("V", n.input(1).dim(0))
                    .i64("L", n.input(1).dim(1))
                    .i64("C", n.input(2).dim(1));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1),
                of(3, 4, 5),
                of(37, 3, 33),
                of(131, 2, 16),
                of(39548, 3, 2).noGradient(),
                of(39548, 4, 128).benchmark());
    }

    private static OpCase of(int vertices, int layers, int features) {
        String name = "layer_choice " + vertices + "x" + layers + "x" + features;
        return OpCase.of(name, (long) layers * features + 16, g -> {
            Value a = g.normal(DType.F32, vertices, layers), f = g.normal(DType.F32, vertices, features);
            return List.of(g.graph().apply(new LayerChoice(g.compute()), a, f).output(0));
        });
    }
}
