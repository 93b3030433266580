// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * The energy of quadrature pairs of filters (Adelson and Bergen 1985), divided by the mean energy of all pairs at the
 * same place (Heeger 1992): [..., 2 C], the C even responses before the C odd ones, to [..., C]. Formula:
 * kernels/energy/energy.h.
 *
 * @param sigma added to the mean energy in the denominator; 0 for energies without division
 */
record Energy(double sigma) implements Op {
    /** Added under the root. An amplitude of 1e-4 is far below one level of an 8-bit photograph. */
    private static final double EPS = 1e-8;

    Energy {
        if (!(sigma >= 0)) throw new IllegalArgumentException("sigma " + sigma + " must be at least 0");
    }

    @Override
    public String name() {
        return "energy";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(
                in.size() == 1 && x.dtype().isFloat() && x.shape().rank() > 0 && x.dim(-1) % 2 == 0,
                this,
                in,
                "takes a floating-point tensor whose last extent is even");
        return List.of(new Type(x.dtype(), x.shape().with(-1, x.dim(-1) / 2)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return n.graph().apply(new Grad(sigma), n.input(0), dOut.get(0)).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 8.0 * n.output(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        extents(n, sigma, w.in("x", 0).out("y", 0));
    }

    private static void extents(Node n, double sigma, ArgWriter w) {
        Value x = n.input(0);
        int pairs = x.dim(-1) / 2;
        w.i64("rows", x.shape().elements() / (2L * pairs))
                .i64("C", pairs)
                .f64("sigma", sigma)
                .f64("eps", EPS);
    }

    /** Gradient of {@link Energy} with respect to x. Inputs x, dY. */
    record Grad(double sigma) implements Op.Gradient {
        @Override
        public String name() {
            return "energy_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(in.get(0).type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 16.0 * n.input(1).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            extents(n, sigma, w.in("x", 0).in("dY", 1).out("dX", 0));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(0, 1, 1),
                of(0.1, 5, 3),
                of(0.5, 33, 8),
                of(0.5, 7, 17),
                of(0, 4, 20),
                of(0.1, 128 * 32 * 32, 8).benchmark());
    }

    /** Every sum has C energies; the gradient's cancels against terms of the magnitude of dY over sigma. */
    private static OpCase of(double sigma, int rows, int pairs) {
        return OpCase.of(
                        "sigma " + sigma + " " + rows + "x" + pairs,
                        pairs + 8,
                        g -> List.of(Ops.energy(g.normal(rows, 2 * pairs), sigma)))
                .scaled(1);
    }
}
