// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Fp8;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * y [M, N] = scale * (a / scale of a) [M, K] ((b / scale of b) [N, K])^T + bias [N] of FP8 matrices. Inputs: a, b,
 * their states ({@link Quantize}); with {@code trained} the state of the gradient of y; then the bias f32 [N] if
 * {@code hasBias}, its bf16 copy if {@code hasCopy}, and the scale f32 [1] if {@code hasScale}, as in {@link Matmul}.
 *
 * <p>The gradient quantises dY once, to E5M2, and reads the transposes of a and b, which {@link Quantize} also writes:
 * tensor cores multiply FP8 matrices whose rows both run along k. Gradients of weights are f32.
 *
 * @param out element type of y
 */
record ScaledMatmul(boolean trained, boolean hasBias, boolean hasCopy, boolean hasScale, DType out)
        implements Op.Product {
    @Override
    public String name() {
        return "scaled_matmul";
    }

    /** The inputs as {@link Ops#linearFp8} takes them. */
    static Value linear(
            Value x,
            Value w,
            Ops.Fp8States states,
            @Nullable Value bias,
            @Nullable Value copy,
            @Nullable Value scale,
            DType out) {
        Value a = quantized(x, states.input(), Fp8.E4M3, false).output(0);
        Value b = quantized(w, states.weight(), Fp8.E4M3, false).output(0);
        List<Value> in = new ArrayList<>(List.of(a, b, states.input(), states.weight(), states.gradient()));
        if (bias != null) in.add(bias);
        if (copy != null) in.add(copy);
        if (scale != null) in.add(scale);
        ScaledMatmul op = new ScaledMatmul(true, bias != null, copy != null, scale != null, out);
        return x.graph().apply(op, in).output(0);
    }

    private static Node quantized(Value x, Value state, Fp8 format, boolean sums) {
        return x.graph().apply(new Quantize(format, sums), x, state);
    }

    private static Value product(Value a, Value b, Value stateA, Value stateB, @Nullable Value scale, DType out) {
        List<Value> in = new ArrayList<>(List.of(a, b, stateA, stateB));
        if (scale != null) in.add(scale);
        return a.graph()
                .apply(new ScaledMatmul(false, false, false, scale != null, out), in)
                .output(0);
    }

    private int bias() {
        return trained ? 5 : 4;
    }

    private int copy() {
        return bias() + (hasBias ? 1 : 0);
    }

    private int scale() {
        return copy() + (hasCopy ? 1 : 0);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value a = in.get(0), b = in.get(1);
        Op.require(in.size() == scale() + (hasScale ? 1 : 0), this, in, "wrong number of inputs");
        Op.require(a.shape().rank() == 2 && b.shape().rank() == 2, this, in, "a and b must be matrices");
        Op.require(a.dtype().isFp8() && b.dtype().isFp8(), this, in, "a and b must be FP8");
        Op.require(a.dim(1) == b.dim(1), this, in, "the inner extents differ");
        for (int d : new int[] {a.dim(0), b.dim(0), a.dim(1)})
            Op.require(d % Quantize.UNIT == 0, this, in, "the extents must be multiples of " + Quantize.UNIT);
        for (int i = 2; i < bias(); i++)
            Op.require(in.get(i).type().equals(Quantize.STATE), this, in, "states must be " + Quantize.STATE);
        int n = b.dim(0);
        if (hasBias)
            Op.require(in.get(bias()).type().equals(Type.of(DType.F32, n)), this, in, "bias must be f32[" + n + "]");
        if (hasCopy)
            Op.require(
                    hasBias && in.get(copy()).type().equals(Type.of(DType.BF16, n)),
                    this,
                    in,
                    "the bias's copy must be bf16[" + n + "]");
        if (hasScale)
            Op.require(in.get(scale()).type().equals(Type.of(DType.F32, 1)), this, in, "scale must be f32[1]");
        return List.of(new Type(out, Shape.of(a.dim(0), n)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (!trained) throw new UnsupportedOperationException(name() + " of gradients has no gradient");
        Value a = n.input(0), b = n.input(1), state = n.input(4);
        boolean biasWanted = hasBias && wanted[hasCopy ? copy() : bias()];
        Node dY = quantized(dOut.get(0), state, Fp8.E5M2, biasWanted);
        List<@Nullable Value> d =
                new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0])
            d.set(
                    0,
                    product(
                            dY.output(0),
                            Quantize.transposed(b),
                            state,
                            n.input(3),
                            hasScale ? n.input(scale()) : null,
                            a.node().input(0).dtype()));
        if (wanted[1]) d.set(1, product(dY.output(1), Quantize.transposed(a), state, n.input(2), null, DType.F32));
        if (biasWanted)
            d.set(
                    hasCopy ? copy() : bias(),
                    Ops.sumLeading(dY.output(3), n.input(bias()).shape()));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * n.output(0).shape().elements() * n.input(0).dim(1));
    }

    @Override
    public DType variant(Node n) {
        return out;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value a = n.input(0), b = n.input(1);
        w.state("state").scratch("scratch");
        w.in("a", 0).in("b", 1).in("scale_a", 2).in("scale_b", 3).out("y", 0);
        w.inOrNone("bias", hasBias ? bias() : -1)
                .inOrNone("bias16", hasCopy ? copy() : -1)
                .inOrNone("scale", hasScale ? scale() : -1);
        w.i64("M", a.dim(0)).i64("N", b.dim(0)).i64("K", a.dim(1));
        w.choice("format_a", Fp8.of(a.dtype()))
                .choice("format_b", Fp8.of(b.dtype()))
                .type("type_y", out);
    }

    public static List<OpCase> cases() {
        return List.of(
                linear(16, 16, 16, false, false),
                linear(80, 48, 112, true, false),
                linear(32, 208, 16, true, true),
                linear(272, 64, 80, false, true),
                linear(16, 32, 528, false, false), // in parts along k
                linear(25216, 768, 768, true, false).benchmark());
    }

    /** A linear layer with its gradients; the bias is exact in bf16. */
    private static OpCase linear(int m, int n, int k, boolean bias, boolean scale) {
        String name = "scaled_matmul " + m + "x" + n + "x" + k + (bias ? " bias" : "") + (scale ? " scale" : "");
        return OpCase.of(name, Math.max(m, Math.max(n, k)) + 2, g -> {
                    Value x = g.normal(m, k), w = g.normal(n, k);
                    Ops.Fp8States states =
                            new Ops.Fp8States(Quantize.state(g, 4), Quantize.state(g, 3), Quantize.state(g, 5));
                    Value b = bias ? g.filled(DType.F32, r -> quarters(n), n) : null;
                    Value copy = bias ? g.perturbed(DType.BF16, r -> quarters(n), n) : null;
                    Value s = scale ? g.scalar(0.37) : null;
                    return List.of(Ops.linearFp8(x, w, states, b, copy, s, g.compute()));
                })
                .noGradient();
    }

    private static float[] quarters(int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (i % 9 - 4) / 4f;
        return f;
    }
}
