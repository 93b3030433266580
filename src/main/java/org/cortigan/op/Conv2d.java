// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Convolution of x [B, H, W, C] with w [O, C, KH, KW] to [B, OH, OW, O], with zero padding. Inputs: x, w, then bias
 * f32[O] if {@code hasBias}, then scale f32[1] if {@code hasScale}; {@link Matmul} describes the contract of the scale.
 * A convolution in one dimension has H = KH = 1.
 */
record Conv2d(int strideH, int strideW, int padH, int padW, boolean hasBias, boolean hasScale) implements Op.Product {
    @Override
    public String name() {
        return "conv2d";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.size() == 2 + (hasBias ? 1 : 0) + (hasScale ? 1 : 0), this, in, "wrong number of inputs");
        Value x = in.get(0), w = in.get(1);
        Op.require(
                x.shape().rank() == 4 && w.shape().rank() == 4, this, in, "x must be [B, H, W, C], w [O, C, KH, KW]");
        Op.require(
                x.dtype() == w.dtype() && x.dtype().isFloat() && x.dim(3) == w.dim(1),
                this,
                in,
                "x and w must have one floating-point type and the same C");
        Op.require(
                x.dim(1) + 2 * padH >= w.dim(2) && x.dim(2) + 2 * padW >= w.dim(3),
                this,
                in,
                "the kernel must not be larger than the padded image");
        if (hasBias) Op.require(in.get(2).type().equals(Type.of(DType.F32, w.dim(0))), this, in, "bias must be f32[O]");
        if (hasScale)
            Op.require(in.get(in.size() - 1).type().equals(Type.of(DType.F32, 1)), this, in, "scale must be f32[1]");
        int oh = (x.dim(1) + 2 * padH - w.dim(2)) / strideH + 1, ow = (x.dim(2) + 2 * padW - w.dim(3)) / strideW + 1;
        return List.of(new Type(x.dtype(), Shape.of(x.dim(0), oh, ow, w.dim(0))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value x = n.input(0), w = n.input(1), dY = dOut.get(0);
        List<@Nullable Value> d =
                new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0]) {
            Value dx = n.graph()
                    .apply(new GradX(x.shape(), strideH, strideW, padH, padW), dY, w)
                    .output(0);
            d.set(0, hasScale ? Ops.mul(dx, n.input(n.inputs().size() - 1)) : dx);
        }
        if (wanted[1])
            d.set(
                    1,
                    n.graph()
                            .apply(new GradW(w.shape(), strideH, strideW, padH, padW), x, dY)
                            .output(0));
        if (hasBias && wanted[2]) d.set(2, Ops.sumLeading(dY, n.input(2).shape()));
        return d;
    }

    /** FLOPs of the convolution, and of each of its two gradients. */
    static double flops(Shape y, Shape w) {
        return 2.0 * y.elements() * w.elements(1, 4);
    }

    /** Writes the arguments that all three kernels share. */
    static void shape(ArgWriter a, String prefix, Shape x, Shape w, int sh, int sw, int ph, int pw, DType t) {
        a.i64(prefix + "B", x.dim(0))
                .i64(prefix + "H", x.dim(1))
                .i64(prefix + "W", x.dim(2))
                .i64(prefix + "C", x.dim(3));
        a.i64(prefix + "O", w.dim(0)).i64(prefix + "KH", w.dim(2)).i64(prefix + "KW", w.dim(3));
        a.i64(prefix + "sh", sh).i64(prefix + "sw", sw).i64(prefix + "ph", ph).i64(prefix + "pw", pw);
        a.type(prefix + "type", t);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, flops(n.output(0).shape(), n.input(1).shape()));
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.state("state").scratch("scratch");
        w.in("x", 0).in("w", 1).out("y", 0);
        w.inOrNone("bias", hasBias ? 2 : -1)
                .inOrNone("scale", hasScale ? n.inputs().size() - 1 : -1);
        shape(w, "", x.shape(), n.input(1).shape(), strideH, strideW, padH, padW, x.dtype());
    }

    /**
     * Gradient of {@link Conv2d} with respect to x, without the scale. Inputs: dY, w. Output: dX of shape {@code of},
     * in dY's type.
     */
    record GradX(Shape of, int strideH, int strideW, int padH, int padW) implements Op.Gradient, Op.Product {
        @Override
        public String name() {
            return "conv2d_grad_x";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(new Type(in.get(0).dtype(), of));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, flops(n.input(0).shape(), n.input(1).shape()));
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.state("state").scratch("scratch");
            w.in("dY", 0).in("w", 1).out("dX", 0);
            shape(
                    w,
                    "",
                    of,
                    n.input(1).shape(),
                    strideH,
                    strideW,
                    padH,
                    padW,
                    n.input(0).dtype());
        }
    }

    /**
     * Gradient of {@link Conv2d} with respect to its (scaled) weight. Inputs: x, dY. Output: dW of shape {@code of},
     * f32.
     */
    record GradW(Shape of, int strideH, int strideW, int padH, int padW) implements Op.Gradient, Op.Product {
        @Override
        public String name() {
            return "conv2d_grad_w";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(new Type(DType.F32, of));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, flops(n.input(1).shape(), of));
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.state("state").scratch("scratch");
            w.in("x", 0).in("dY", 1).out("dW", 0);
            shape(
                    w,
                    "",
                    n.input(0).shape(),
                    of,
                    strideH,
                    strideW,
                    padH,
                    padW,
                    n.input(0).dtype());
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Sizes s : List.of(
                new Sizes(1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
                new Sizes(2, 5, 6, 3, 2, 3, 3, 1, 1, 1, 1),
                new Sizes(1, 8, 8, 2, 5, 4, 4, 2, 2, 1, 1),
                new Sizes(2, 1, 19, 1, 3, 1, 5, 1, 4, 0, 2),
                new Sizes(1, 7, 7, 5, 7, 3, 3, 2, 2, 0, 0),
                new Sizes(16, 1, 9, 1, 3, 1, 9, 1, 4, 0, 4),
                new Sizes(16, 1, 3, 3, 4, 1, 3, 1, 4, 0, 1))) {
            c.add(of(s, true, false));
            c.add(of(s, true, true).noGradient());
            c.add(of(s, false, true).noGradient());
        }
        c.add(of(new Sizes(2, 32, 32, 3, 64, 4, 4, 2, 2, 1, 1), true, false).noGradient());
        c.add(of(new Sizes(8, 112, 112, 64, 64, 3, 3, 1, 1, 1, 1), true, false).benchmark());
        return c;
    }

    /** Sizes of a case: x [b, h, w, c], weight [o, c, kh, kw], strides and padding. */
    private record Sizes(int b, int h, int w, int c, int o, int kh, int kw, int sh, int sw, int ph, int pw) {
        /** All sizes in a list, as part of the case's name. */
        @Override
        public String toString() {
            return List.of(b, h, w, c, o, kh, kw, sh, sw, ph, pw).toString();
        }
    }

    private static OpCase of(Sizes s, boolean bias, boolean scale) {
        String name = "conv2d " + s + (bias ? " bias" : "") + (scale ? " scale" : "");
        return OpCase.of(name, (long) s.c * s.kh * s.kw + 2, g -> {
                    Value x = g.normal(s.b, s.h, s.w, s.c), w = g.normal(s.o, s.c, s.kh, s.kw);
                    Value b = bias ? g.normal(DType.F32, s.o) : null;
                    return List.of(Ops.conv2d(x, w, b, scale ? g.scalar(0.37) : null, s.sh, s.sw, s.ph, s.pw));
                })
                // With a scale, the gradient with respect to x is rounded before and after the multiplication.
                .roundings(scale ? 2 : 1);
    }
}
