// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * The energy of quadrature pairs of filters (Adelson and Bergen 1985), compressed by a logarithm (Nishimoto et al.
 * 2011): [..., 2 C], the C even responses before the C odd ones, to [..., C]. Formula: kernels/energy/energy.h.
 *
 * @param sigma contrast at which the compression sets in; 0 for none
 */
record Energy(double sigma) implements Op {
    /** Added under the root. An amplitude of 1e-4 is far below one level of an 8-bit photograph. */
    static final double EPS = 1e-8;

    /** An energy whose square a float holds is below 1.9e19. Divided by this sigma, it is still a float. */
    private static final double LEAST_SIGMA = 1e-19;

    Energy {
        if (sigma != 0 && !(sigma >= LEAST_SIGMA && sigma <= 1 / LEAST_SIGMA))
            throw new IllegalArgumentException("sigma " + sigma + " must be 0, or between 1e-19 and 1e19");
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
        return Op.cost(n, (sigma > 0 ? 25.0 : 5.0) * n.output(0).shape().elements());
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
            return Op.cost(n, 10.0 * n.input(1).shape().elements());
        }

        @Override
        public int inPlace(Node n, int output) {
            return 0;
        }

        @Override
        public void args(Node n, ArgWriter w) {
            extents(n, sigma, w.in("x", 0).in("dY", 1).out("dX", 0));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(0, 1, 1, 1),
                of(0.1, 5, 3, 1),
                of(0.5, 33, 8, 1),
                of(0.5, 7, 17, 1),
                of(0, 4, 20, 1),
                of(0.1, 611, 16, 1),
                // Far below sigma, where 1 + e / sigma would lose digits, down to eps; and far above. Central
                // differences are too coarse for the curvature at such small contrasts.
                of(0.5, 9, 16, 1e-3).noGradient(),
                of(0.5, 9, 5, 0).noGradient(),
                of(0.01, 9, 16, 1e4),
                of(0.1, 128 * 32 * 32, 8, 1).benchmark());
    }

    /**
     * Results have a relative error of at most 9 units of 2^-24. Forward, e has 2.5: the square root halves the 3 of a
     * sum of squares without fused multiplications, and rounds once. Dividing by sigma adds 2, and the logarithm, which
     * does not enlarge a relative error, adds up to 2 ulps. Backward, sigma + e has 3.5, so that the denominator has 7;
     * the quotient and the product add 2.
     */
    private static OpCase of(double sigma, int rows, int pairs, double contrast) {
        return OpCase.of(
                "energy sigma " + sigma + " contrast " + contrast + " " + rows + "x" + pairs,
                9,
                g -> List.of(Ops.energy(
                        g.perturbed(
                                g.compute(), r -> contrasts(r, 2 * rows * pairs, (float) contrast), rows, 2 * pairs),
                        sigma)));
    }

    private static float[] contrasts(SplittableRandom r, int n, float contrast) {
        float[] x = CaseInputs.gaussian(r, n);
        for (int i = 0; i < n; i++) x[i] *= contrast;
        return x;
    }
}
