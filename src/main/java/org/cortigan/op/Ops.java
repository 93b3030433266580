package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;

/** Short names for adding nodes to a graph. */
public final class Ops {
    private Ops() {}

    /** scale * op(a) op(b) + bias; bias and scale may be null. See {@link Matmul}. */
    public static Value matmul(
            Value a, Value b, boolean transA, boolean transB, Value bias, Value scale, DType out) {
        List<Value> in = new ArrayList<>(List.of(a, b));
        if (bias != null) in.add(bias);
        if (scale != null) in.add(scale);
        return a.graph().apply(new Matmul(transA, transB, bias != null, scale != null, out), in).output(0);
    }

    public static Value reshape(Value x, int... dims) {
        Shape s = Shape.of(dims);
        return x.shape().equals(s) ? x : x.graph().apply(new Reshape(s), x).output(0);
    }

    public static Value activation(Value x, Activation.Kind kind, double alpha) {
        return x.graph().apply(new Activation(kind, alpha), x).output(0);
    }

    /** Outputs y, mean, rstd. */
    public static Node layerNorm(Value x, Value gamma, Value beta, double eps) {
        return x.graph().apply(new LayerNorm(eps, false), x, gamma, beta);
    }

    /** Normalises x + residual; outputs y, mean, rstd, x + residual. */
    public static Node layerNormResidual(Value x, Value residual, Value gamma, Value beta, double eps) {
        return x.graph().apply(new LayerNorm(eps, true), x, gamma, beta, residual);
    }

    public static Value add(Value a, Value b) {
        return x(Binary.Kind.ADD, a, b);
    }

    public static Value sub(Value a, Value b) {
        return x(Binary.Kind.SUB, a, b);
    }

    public static Value mul(Value a, Value b) {
        return x(Binary.Kind.MUL, a, b);
    }

    private static Value x(Binary.Kind kind, Value a, Value b) {
        return a.graph().apply(new Binary(kind, 1, 1), a, b).output(0);
    }

    /** x times a number. */
    public static Value scale(Value x, double factor) {
        return mul(x, x.graph().constant(factor, DType.F32, 1));
    }

    /** Sum over the leading axes, in f32. */
    public static Value sumLeading(Value x, Shape to) {
        return x.graph().apply(new SumLeading(to, 1), x).output(0);
    }
}
