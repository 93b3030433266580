package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * y [M, N] = scale * op(a) [M, K] op(b) [K, N] + bias [N]. Inputs a, b, then bias if {@code hasBias}, then scale if
 * {@code hasScale}. The scale (one float) is 1/sigma of a spectrally normalised weight: by contract the gradient with
 * respect to b is that of the product b * scale, which {@link SpectralNorm} expects, and the scale itself gets none.
 *
 * @param transA a is stored [K, M]
 * @param transB b is stored [N, K], as the weight of torch's Linear
 * @param out element type of y
 */
public record Matmul(boolean transA, boolean transB, boolean hasBias, boolean hasScale, DType out) implements Op {
    @Override
    public String name() {
        return "matmul";
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
        Op.require(in.size() == 2 + (hasBias ? 1 : 0) + (hasScale ? 1 : 0), this, in, "wrong number of inputs");
        Op.require(in.get(0).shape().rank() == 2 && in.get(1).shape().rank() == 2, this, in, "a and b must be matrices");
        Op.require(k(in) == in.get(1).dim(transB ? 1 : 0), this, in, "inner extents differ");
        Op.require(in.get(0).dtype() == in.get(1).dtype(), this, in, "a and b must have one type");
        if (hasBias)
            Op.require(in.get(2).type().equals(Type.of(DType.F32, n(in))), this, in, "bias must be f32[" + n(in) + "]");
        if (hasScale)
            Op.require(in.get(in.size() - 1).type().equals(Type.of(DType.F32, 1)), this, in, "scale must be f32[1]");
        return List.of(new Type(out, Shape.of(m(in), n(in))));
    }

    @Override
    public List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
        Value a = n.input(0), b = n.input(1), dY = dOut.get(0);
        List<Value> d = new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0]) {
            // dA = dY op(b)^T, or its transpose where a is stored transposed
            Value s = hasScale ? n.input(n.inputs().size() - 1) : null;
            Value da = transA
                    ? Ops.matmul(b, dY, transB, true, null, s, a.dtype())
                    : Ops.matmul(dY, b, false, !transB, null, s, a.dtype());
            d.set(0, da);
        }
        // Gradients of weights accumulate in f32 whatever the compute type.
        if (wanted[1])
            d.set(
                    1,
                    transB
                            ? Ops.matmul(dY, a, true, transA, null, null, DType.F32)
                            : Ops.matmul(a, dY, !transA, false, null, null, DType.F32));
        if (hasBias && wanted[2]) d.set(2, Ops.sumLeading(dY, n.input(2).shape()));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * m(n.inputs()) * n(n.inputs()) * k(n.inputs()));
    }

    @Override
    public String kernel() {
        return "matmul";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        List<Value> in = n.inputs();
        w.state().in(0).in(1).inOrNone(hasBias ? 2 : -1).inOrNone(hasScale ? in.size() - 1 : -1);
        w.out(0).scratch();
        w.i64(m(in)).i64(n(in)).i64(k(in)).i64(transA ? 1 : 0).i64(transB ? 1 : 0);
        w.i64(in.get(0).dtype().variant()).i64(in.get(1).dtype().variant()).i64(out.variant());
    }
}
