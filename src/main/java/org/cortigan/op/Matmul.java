// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * y [M, N] = scale * op(a) [M, K] op(b) [K, N] + bias [N]. Inputs: a, b, then bias f32[N] if {@code hasBias}, then its
 * bf16 copy if {@code hasCopy}, then scale f32[1] if {@code hasScale}.
 *
 * <p>The scale is 1/sigma of a spectrally normalised weight b. By contract the gradient with respect to input b is that
 * with respect to scale * b, which {@link SpectralNorm} expects, and the scale has no gradient.
 *
 * <p>A device adds the bias or its copy, as its library needs. The gradient of the bias is that of the copy if there is
 * one.
 *
 * @param transA whether a is stored [K, M]
 * @param transB whether b is stored [N, K], as the weight of torch's Linear
 * @param out element type of y
 */
record Matmul(boolean transA, boolean transB, boolean hasBias, boolean hasCopy, boolean hasScale, DType out)
        implements Op.Product {
    @Override
    public String name() {
        return "matmul";
    }

    /** The inputs as {@link Ops#matmul} takes them. */
    static Value of(
            Value a,
            Value b,
            boolean transA,
            boolean transB,
            @Nullable Value bias,
            @Nullable Value copy,
            @Nullable Value scale,
            DType out) {
        List<Value> in = new ArrayList<>(List.of(a, b));
        if (bias != null) in.add(bias);
        if (copy != null) in.add(copy);
        if (scale != null) in.add(scale);
        Matmul op = new Matmul(transA, transB, bias != null, copy != null, scale != null, out);
        return a.graph().apply(op, in).output(0);
    }

    private int m(List<Value> in) {
        return in.get(0).dim(transA ? 1 : 0);
    }

    private int k(List<Value> in) {
        return in.get(0).dim(transA ? 0 : 1);
    }

    private int n(List<Value> in) {
        return in.get(1).dim(transB ? 0 : 1);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(
                in.size() == 2 + (hasBias ? 1 : 0) + (hasCopy ? 1 : 0) + (hasScale ? 1 : 0),
                this,
                in,
                "wrong number of inputs");
        Op.require(
                in.get(0).shape().rank() == 2 && in.get(1).shape().rank() == 2, this, in, "a and b must be matrices");
        Op.require(k(in) == in.get(1).dim(transB ? 1 : 0), this, in, "the inner extents differ");
        Op.require(in.get(0).dtype() == in.get(1).dtype(), this, in, "a and b must have one type");
        if (hasBias)
            Op.require(in.get(2).type().equals(Type.of(DType.F32, n(in))), this, in, "bias must be f32[" + n(in) + "]");
        if (hasCopy)
            Op.require(
                    hasBias && in.get(3).type().equals(Type.of(DType.BF16, n(in))),
                    this,
                    in,
                    "the bias's copy must be bf16[" + n(in) + "]");
        if (hasScale)
            Op.require(in.get(in.size() - 1).type().equals(Type.of(DType.F32, 1)), this, in, "scale must be f32[1]");
        return List.of(new Type(out, Shape.of(m(in), n(in))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value a = n.input(0), b = n.input(1), dY = dOut.get(0);
        List<@Nullable Value> d =
                new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0]) {
            // dA = scale dY op(b)^T, transposed if a is stored transposed.
            Value s = hasScale ? n.input(n.inputs().size() - 1) : null;
            Value da = transA
                    ? Ops.matmul(b, dY, transB, true, null, s, a.dtype())
                    : Ops.matmul(dY, b, false, !transB, null, s, a.dtype());
            d.set(0, da);
        }
        // Gradients of weights accumulate in f32 for every compute type.
        int bias = hasCopy ? 3 : 2;
        boolean biasWanted = hasBias && wanted[bias];
        if (wanted[1] && biasWanted && transB && !transA) {
            Node g = n.graph().apply(new Grad(), dY, a);
            d.set(1, g.output(0));
            d.set(bias, g.output(1));
            return d;
        }
        if (wanted[1])
            d.set(
                    1,
                    transB
                            ? Ops.matmul(dY, a, true, transA, null, null, DType.F32)
                            : Ops.matmul(a, dY, !transA, false, null, null, DType.F32));
        if (biasWanted) d.set(bias, Ops.sumLeading(dY, n.input(bias).shape()));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * m(n.inputs()) * n(n.inputs()) * k(n.inputs()));
    }

    @Override
    public void args(Node n, ArgWriter w) {
        List<Value> in = n.inputs();
        w.state("state").scratch("scratch");
        w.in("a", 0).in("b", 1).out("y", 0);
        w.inOrNone("bias", hasBias ? 2 : -1)
                .inOrNone("bias16", hasCopy ? 3 : -1)
                .inOrNone("scale", hasScale ? in.size() - 1 : -1);
        w.i64("M", m(in))
                .i64("N", n(in))
                .i64("K", k(in))
                .flag("trans_a", transA)
                .flag("trans_b", transB);
        w.type("type_a", in.get(0).dtype()).type("type_b", in.get(1).dtype()).type("type_y", out);
    }

    /**
     * Gradients of a linear layer with respect to weight and bias. Inputs: dY [R, M] and x [R, N]. Outputs: dW = dY^T x
     * [M, N] and db, the column sums of dY [M], both f32. One op, because libraries sum dY while they multiply by it.
     */
    record Grad() implements Op.Gradient, Op.Product {
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
            return List.of(
                    new Type(DType.F32, Shape.of(dY.dim(1), x.dim(1))), new Type(DType.F32, Shape.of(dY.dim(1))));
        }

        @Override
        public Cost cost(Node n) {
            double dY = n.input(0).shape().elements();
            return Op.cost(n, 2 * dY * n.input(1).dim(1) + dY);
        }

        @Override
        public void args(Node n, ArgWriter w) {
            Value dY = n.input(0), x = n.input(1);
            w.state("state").scratch("scratch");
            w.in("dY", 0).in("x", 1).out("dW", 0).out("db", 1);
            w.i64("M", dY.dim(1)).i64("N", x.dim(1)).i64("K", x.dim(0)).type("type", dY.dtype());
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.addAll(transposes(1, 1, 1));
        c.addAll(transposes(3, 5, 7));
        c.addAll(transposes(17, 33, 20));
        c.addAll(transposes(2, 39548, 3));
        c.addAll(transposes(197, 64, 96));
        c.add(product(5, 9, 4, false, true, true, false));
        c.add(product(5, 9, 4, false, true, true, true).noGradient());
        c.add(product(5, 9, 4, false, true, false, true).noGradient());
        for (boolean scale : new boolean[] {false, true}) c.add(copiedBias(5, 9, 4, scale));
        c.add(product(1576, 768, 768, false, true, true, false).benchmark());
        c.add(product(8, 39548, 768, false, true, true, false).benchmark());
        c.add(linearGrad(1, 1, 1).noGradient());
        c.add(linearGrad(5, 9, 4).noGradient());
        c.add(linearGrad(33, 17, 70).noGradient());
        c.add(linearGrad(130, 65, 257).noGradient());
        c.add(linearGrad(3, 39548, 2).noGradient());
        c.add(linearGrad(2, 3, 39548).noGradient());
        c.add(linearGrad(1576, 768, 768).benchmark());
        return c;
    }

    private static List<OpCase> transposes(int m, int n, int k) {
        List<OpCase> c = new ArrayList<>();
        for (boolean tb : new boolean[] {false, true})
            for (boolean ta : new boolean[] {false, true}) c.add(product(m, n, k, ta, tb, false, false));
        return c;
    }

    private static OpCase product(int m, int n, int k, boolean ta, boolean tb, boolean bias, boolean scale) {
        String name = "matmul " + m + "x" + n + "x" + k + (ta ? " ta" : "") + (tb ? " tb" : "") + (bias ? " bias" : "")
                + (scale ? " scale" : "");
        OpCase c = OpCase.of(name, k + 2, g -> {
            Value a = ta ? g.normal(k, m) : g.normal(m, k);
            Value b = tb ? g.normal(n, k) : g.normal(k, n);
            Value bi = bias ? g.normal(DType.F32, n) : null;
            Value sc = scale ? g.scalar(0.37) : null;
            return List.of(Ops.matmul(a, b, ta, tb, bi, sc, g.compute()));
        });
        return (long) m * n * k > 2000 ? c.noGradient() : c;
    }

    /** A linear layer with a bias that bf16 holds exactly, and its copy. */
    private static OpCase copiedBias(int m, int n, int k, boolean scale) {
        Function<SplittableRandom, float[]> exact = r -> {
            float[] f = new float[n];
            for (int i = 0; i < n; i++) f[i] = (i % 9 - 4) / 4f;
            return f;
        };
        return OpCase.of("matmul " + m + "x" + n + "x" + k + " tb copied bias" + (scale ? " scale" : ""), k + 2, g -> {
                    Value x = g.normal(m, k), w = g.normal(n, k);
                    Value bias = g.filled(DType.F32, exact, n), copy = g.filled(DType.BF16, exact, n);
                    return List.of(Ops.linear(x, w, bias, copy, scale ? g.scalar(0.37) : null, g.compute()));
                })
                .noGradient();
    }

    /** A case with R = {@code rows}, M = {@code outputs} and N = {@code inputs}. */
    private static OpCase linearGrad(int rows, int outputs, int inputs) {
        return OpCase.of(
                "linear_grad " + rows + "x" + outputs + "x" + inputs,
                rows + 2,
                g -> g.graph()
                        .apply(new Grad(), g.normal(rows, outputs), g.normal(rows, inputs))
                        .outputs());
    }
}
