// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * One matrix-vector product per vertex: y[b, v] = sum_k t[v, b, k] w[v, k] + bias[v]. With t the product of spatial
 * masks [V, P] and a feature map [P, B * K], this is the factorised readout of Klindt et al. 2017. Inputs: t [V, B, K],
 * w [V, K] of t's type, bias f32[V]. Output: y [B, V].
 */
public record Readout() implements Op {
    @Override
    public String name() {
        return "readout";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value t = in.get(0);
        Op.require(in.size() == 3 && t.shape().rank() == 3 && t.dtype().isFloat(), this, in, "t must be [V, B, K]");
        Op.require(
                in.get(1).type().equals(Type.of(t.dtype(), t.dim(0), t.dim(2))),
                this,
                in,
                "w must be [V, K] of t's type");
        Op.require(
                in.get(2).type().equals(Type.of(DType.F32, t.dim(0))), this, in, "bias must be f32[" + t.dim(0) + "]");
        return List.of(Type.of(t.dtype(), t.dim(1), t.dim(0)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return n.graph().apply(new Grad(), dOut.get(0), n.input(0), n.input(1)).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value t = n.input(0);
        w.in("t", 0).in("w", 1).in("bias", 2).out("y", 0);
        w.i64("V", t.dim(0)).i64("B", t.dim(1)).i64("K", t.dim(2));
    }

    /** Gradients of {@link Readout}. Inputs: dY, t, w. Outputs: dt; dw and dbias in f32. */
    record Grad() implements Op.Gradient {
        @Override
        public String name() {
            return "readout_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Value t = in.get(1);
            Op.require(
                    in.get(0).type().equals(Type.of(t.dtype(), t.dim(1), t.dim(0))),
                    this,
                    in,
                    "dY must be [B, V] of t's type");
            return List.of(t.type(), new Type(DType.F32, in.get(2).shape()), Type.of(DType.F32, t.dim(0)));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 3.0 * n.input(1).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            Value t = n.input(1);
            w.in("dY", 0).in("t", 1).in("w", 2).out("dt", 0).out("dw", 1).out("dbias", 2);
            w.i64("V", t.dim(0)).i64("B", t.dim(1)).i64("K", t.dim(2));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1),
                of(5, 3, 7),
                of(37, 2, 33),
                of(131, 5, 16),
                of(39548, 2, 3).noGradient(),
                of(39548, 8, 64).benchmark());
    }

    private static OpCase of(int vertices, int batch, int k) {
        return OpCase.of("readout " + vertices + "x" + batch + "x" + k, k + 8L, g -> {
            Value t = g.normal(vertices, batch, k), w = g.normal(vertices, k), bias = g.normal(DType.F32, vertices);
            return List.of(g.graph().apply(new Readout(), t, w, bias).output(0));
        });
    }
}
