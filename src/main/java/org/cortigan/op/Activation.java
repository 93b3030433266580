// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Elementwise y = f(x).
 *
 * @param kind the function f; kernels know it by its name
 * @param alpha slope of the leaky ReLU below zero, or the factor in swish; the other kinds ignore it
 */
public record Activation(Kind kind, double alpha) implements Op {
    /** The functions. */
    public enum Kind {
        /** x * Phi(x) with the exact normal distribution function Phi, the default of torch. */
        GELU,
        LEAKY_RELU,
        TANH,
        /** x / (1 + exp(-alpha x)) (Ramachandran et al. 2017): SiLU for alpha 1, the quick GELU of CLIP for 1.702. */
        SWISH
    }

    @Override
    public String name() {
        return kind.name().toLowerCase(Locale.ROOT);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.size() == 1 && in.get(0).dtype().isFloat(), this, in, "takes one floating-point tensor");
        return List.of(in.get(0).type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return List.of(
                n.graph().apply(new Grad(kind, alpha), n.input(0), dOut.get(0)).output(0));
    }

    /** FLOPs per element. */
    static double flops(Kind kind) {
        return kind == Kind.LEAKY_RELU ? 2 : 25;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, flops(kind) * n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "activation";
    }

    @Override
    public int inPlace(Node n, int output) {
        return 0;
    }

    @Override
    public boolean cheap(int output) {
        return true;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0)
                .out("y", 0)
                .i64("n", n.input(0).shape().elements())
                .choice("kind", kind)
                .f64("alpha", alpha);
    }

    /** dX = dY f'(x) of an {@link Activation}. Inputs x, dY. */
    record Grad(Kind kind, double alpha) implements Op.Gradient {
        @Override
        public String name() {
            return kind.name().toLowerCase(Locale.ROOT) + "_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    in.get(0).type().equals(in.get(1).type()), this, in, "x and dY must have the same type and shape");
            return List.of(in.get(0).type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, (flops(kind) + 3) * n.input(0).shape().elements());
        }

        @Override
        public String kernel() {
            return "activation_grad";
        }

        @Override
        public int inPlace(Node n, int output) {
            return 1;
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("x", 0)
                    .in("dY", 1)
                    .out("dX", 0)
                    .i64("n", n.input(0).shape().elements())
                    .choice("kind", kind)
                    .f64("alpha", alpha);
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Kind k : Kind.values())
            for (int n : new int[] {1, 17, 1003, 39548})
                c.add(OpCase.of(k + " " + n, 8, g -> List.of(Ops.activation(g.normal(n), k, 0.2)))
                        .scaled(1));
        for (int n : new int[] {17, 1003})
            c.add(OpCase.of("quick gelu " + n, 8, g -> List.of(Ops.activation(g.normal(n), Kind.SWISH, 1.702)))
                    .scaled(1));
        c.add(OpCase.of("gelu 1576x3072", 8, g -> List.of(Ops.activation(g.normal(1576, 3072), Kind.GELU, 0)))
                .scaled(1)
                .benchmark());
        return c;
    }
}
