// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Layer normalisation over the last axis (Ba, Kiros and Hinton 2016), of x or of s = x + r. Inputs: x, gamma [C], beta
 * [C] and, if {@code residual}, r of x's type and shape. Outputs: y, mean [rows], rstd [rows] and, if {@code residual},
 * s. Statistics and parameters are f32.
 */
record LayerNorm(double eps, boolean residual) implements Op {
    @Override
    public String name() {
        return "layernorm";
    }

    /** Number of rows that are normalised. */
    static int rows(Value x) {
        return Math.toIntExact(x.shape().elements() / x.dim(-1));
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        int c = x.dim(-1);
        Type p = Type.of(DType.F32, c);
        Op.require(in.get(1).type().equals(p) && in.get(2).type().equals(p), this, in, "gamma and beta must be " + p);
        if (residual)
            Op.require(in.get(3).type().equals(x.type()), this, in, "the residual must have the type and shape of x");
        Type stat = new Type(DType.F32, Shape.of(rows(x)));
        List<Type> out = new ArrayList<>(List.of(x.type(), stat, stat));
        if (residual) out.add(x.type());
        return out;
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value s = residual ? n.output(3) : n.input(0);
        Value dSum = residual ? dOut.get(3) : null;
        if (dOut.get(0) == null) {
            Value[] d = new Value[n.inputs().size()];
            if (residual) d[0] = d[3] = dSum;
            return Arrays.asList(d);
        }
        List<Value> in = new ArrayList<>(List.of(dOut.get(0), s, n.input(1), n.output(1), n.output(2)));
        if (dSum != null) in.add(dSum);
        Node g = s.graph().apply(new Grad(dSum != null), in);
        List<Value> d = new ArrayList<>(List.of(g.output(0), g.output(1), g.output(2)));
        if (residual) d.add(g.output(0));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 8.0 * n.input(0).shape().elements());
    }

    /** True for y. The statistics and s are kept, since the gradient reads them. */
    @Override
    public boolean cheap(int output) {
        return output == 0;
    }

    @Override
    public Value recompute(Node n, UnaryOperator<Value> kept) {
        Value sum = kept.apply(residual ? n.output(3) : n.input(0));
        return sum.graph()
                .apply(new LayerNorm(eps, false), sum, kept.apply(n.input(1)), kept.apply(n.input(2)))
                .output(0);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).inOrNone("r", residual ? 3 : -1).in("gamma", 1).in("beta", 2);
        if (residual) w.out("sum", 3);
        else w.none("sum");
        w.out("y", 0).out("mean", 1).out("rstd", 2);
        w.i64("rows", rows(n.input(0))).i64("C", n.input(0).dim(-1)).f64("eps", eps);
    }

    /**
     * Gradient of {@link LayerNorm}. Inputs: dY, s, gamma, mean, rstd and, if {@code hasSum}, the gradient of the
     * output s from its other readers. Outputs: dS (the gradient of both x and r), dGamma, dBeta.
     */
    record Grad(boolean hasSum) implements Op.Gradient {
        @Override
        public String name() {
            return "layernorm_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    in.get(0).type().equals(in.get(1).type()), this, in, "dY and s must have the same type and shape");
            Type p = Type.of(DType.F32, in.get(1).dim(-1));
            return List.of(in.get(1).type(), p, p);
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 14.0 * n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("dY", 0).inOrNone("dSum", hasSum ? 5 : -1);
            w.in("s", 1).in("gamma", 2).in("mean", 3).in("rstd", 4);
            w.out("dS", 0).out("dGamma", 1).out("dBeta", 2).scratch("scratch");
            w.i64("rows", rows(n.input(1))).i64("C", n.input(1).dim(-1));
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (boolean residual : new boolean[] {false, true}) {
            // At width 1 the variance is 0, and rstd = 1/sqrt(eps) = 1000 multiplies terms that cancel.
            c.add(of(1, 1, residual).scaled(1e3).noGradient());
            c.add(of(1, 5, residual));
            c.add(of(3, 7, residual));
            c.add(of(5, 33, residual));
            c.add(of(37, 192, residual));
            c.add(of(3, 128, residual));
            for (int width : new int[] {64, 96, 256, 384})
                c.add(of(21, width, residual).noGradient());
            c.add(of(3, 512, residual).noGradient());
            c.add(of(3, 1024, residual).noGradient());
            c.add(of(1576, 768, residual).benchmark());
        }
        // The CUDA kernel takes 4,224 rows at a time and has room for three times as many.
        c.add(of(13000, 8, true).terms(13008).noGradient());
        return c;
    }

    private static OpCase of(int rows, int width, boolean residual) {
        return OpCase.of("layernorm " + rows + "x" + width + (residual ? " residual" : ""), width + 8L, g -> {
                    Value x = g.normal(rows, width), ga = g.normal(DType.F32, width), be = g.normal(DType.F32, width);
                    if (!residual) return List.of(Ops.layerNorm(x, ga, be, 1e-6).output(0));
                    Node n = Ops.layerNormResidual(x, g.normal(rows, width), ga, be, 1e-6);
                    return List.of(n.output(0), n.output(3));
                })
                // The sum is rounded to the compute type before it is normalised, and so is the result.
                .roundings(residual ? 2 : 1);
    }
}
