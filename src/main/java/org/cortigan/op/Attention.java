// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Multi-head self-attention (Vaswani et al. 2017) without a mask. Input: qkv [B, T, 3 H D] in the layout of timm's qkv
 * layer. Outputs: y [B, T, H D] and the log-sum-exp of each row [B, H, T] (f32). Formulas:
 * kernels/attention/attention.h.
 */
record Attention(int heads) implements Op {
    @Override
    public String name() {
        return "attention";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(
                x.shape().rank() == 3 && x.dtype().isFloat() && x.dim(2) % (3 * heads) == 0,
                this,
                in,
                "qkv must be [B, T, 3 H D] with H = " + heads);
        return List.of(
                new Type(x.dtype(), x.shape().with(2, x.dim(2) / 3)),
                new Type(DType.F32, Shape.of(x.dim(0), heads, x.dim(1))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (dOut.get(1) != null) throw new UnsupportedOperationException("attention: the log-sum-exp has no gradient");
        return n.graph()
                .apply(new Grad(heads), n.input(0), n.output(0), n.output(1), dOut.get(0))
                .outputs();
    }

    /** B H T^2 D: multiply-adds of one of the T x T products of all images and heads. */
    static double products(Value qkv) {
        return (double) qkv.shape().elements() / 3 * qkv.dim(1);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 4 * products(n.input(0)));
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("qkv", 0).out("y", 0).out("lse", 1).scratch("scratch");
        extents(w, n.input(0), heads);
    }

    /** Gradient of {@link Attention}. Inputs: qkv, y, log-sum-exp, dY. Output: dQKV, of the type and shape of qkv. */
    record Grad(int heads) implements Op.Gradient {
        @Override
        public String name() {
            return "attention_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(in.get(3).type().equals(in.get(1).type()), this, in, "dY must have the type and shape of y");
            return List.of(in.get(0).type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 10 * products(n.input(0)));
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("qkv", 0).in("y", 1).in("lse", 2).in("dY", 3).out("dQKV", 0).scratch("scratch");
            extents(w, n.input(0), heads);
        }
    }

    /** Writes the extents B, T, H, D of both kernels. */
    static void extents(ArgWriter w, Value qkv, int heads) {
        w.i64("B", qkv.dim(0)).i64("T", qkv.dim(1)).i64("H", heads).i64("D", qkv.dim(2) / (3 * heads));
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1, 1),
                of(2, 5, 3, 4),
                of(1, 17, 2, 8),
                of(1, 33, 1, 20),
                // Head widths for tensor cores. Token counts of one and two stages of the CUDA kernel, and at the ends
                // of wgmma tiles.
                of(2, 197, 3, 64).noGradient(),
                of(1, 40, 2, 32).noGradient(),
                of(1, 300, 1, 32).noGradient(),
                of(1, 70, 1, 128).noGradient(),
                of(1, 1, 1, 64).noGradient(),
                of(1, 64, 1, 64).noGradient(),
                of(1, 129, 1, 64).noGradient(),
                of(1, 207, 1, 64).noGradient(),
                of(1, 209, 1, 64).noGradient(),
                of(8, 197, 12, 64).benchmark());
    }

    private static OpCase of(int b, int t, int h, int d) {
        // Scores reach a few units, so an exponent's error is that many ulp of the sum over D. Sums over T follow.
        return OpCase.of(
                        "attention " + b + "x" + t + "x" + h + "x" + d,
                        8L * (d + t) + 64,
                        s -> List.of(Ops.attention(s.normal(b, t, 3 * h * d), h)))
                .roundings(4)
                .scaled(4);
    }
}
