// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * GEGLU (Shazeer 2020): the first half of the last axis times the exact GELU of the second half, [..., 2 C] to [...,
 * C]. Formula: kernels/geglu/geglu.h.
 */
record Geglu() implements Op {
    @Override
    public String name() {
        return "geglu";
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
        return n.graph().apply(new Grad(), n.input(0), dOut.get(0)).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 26.0 * n.output(0).shape().elements());
    }

    @Override
    public boolean cheap(int output) {
        return true;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        extents(n, w.in("x", 0).out("y", 0));
    }

    private static void extents(Node n, ArgWriter w) {
        Value x = n.input(0);
        int c = x.dim(-1) / 2;
        w.i64("rows", x.shape().elements() / (2L * c)).i64("C", c);
    }

    /** Gradient of {@link Geglu} with respect to x. Inputs x, dY. */
    record Grad() implements Op.Gradient {
        @Override
        public String name() {
            return "geglu_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(in.get(0).type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 31.0 * n.input(1).shape().elements());
        }

        @Override
        public int inPlace(Node n, int output) {
            return 0;
        }

        @Override
        public void args(Node n, ArgWriter w) {
            extents(n, w.in("x", 0).in("dY", 1).out("dX", 0));
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1),
                of(5, 3),
                of(33, 8),
                of(7, 17),
                of(4, 20),
                of(61, 48),
                of(4096, 1280).benchmark());
    }

    /** As for GELU alone, a result has the error of a few roundings of a number near 1, times u. */
    private static OpCase of(int rows, int pairs) {
        return OpCase.of("geglu " + rows + "x" + pairs, 10, g -> List.of(Ops.geglu(g.normal(rows, 2 * pairs))))
                .scaled(4);
    }
}
