// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Elementwise y = a op b. b has the shape of a, a trailing part of that shape (b is repeated over the leading axes), or
 * one element. AXPBY is alpha a + beta b.
 *
 * @param kind the operation; kernels know it by its name
 * @param alpha factor of a, for {@code AXPBY}
 * @param beta factor of b, for {@code AXPBY}
 */
public record Binary(Kind kind, double alpha, double beta) implements Op {
    /** a + b, a b, or alpha a + beta b. */
    public enum Kind {
        ADD,
        MUL,
        AXPBY
    }

    @Override
    public String name() {
        return kind.name().toLowerCase(Locale.ROOT);
    }

    /** Whether b has one element, the shape of a, or a trailing part of that shape. */
    static boolean repeats(Shape a, Shape b) {
        if (b.elements() == 1) return true;
        int lead = a.rank() - b.rank();
        if (lead < 0) return false;
        for (int i = 0; i < b.rank(); i++) if (b.dim(i) != a.dim(lead + i)) return false;
        return true;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value a = in.get(0), b = in.get(1);
        Op.require(
                a.dtype().isFloat() && (b.dtype() == a.dtype() || b.dtype() == DType.F32),
                this,
                in,
                "a must be floating-point, b of the same type or f32");
        Op.require(
                repeats(a.shape(), b.shape()),
                this,
                in,
                "b must have a's shape, a trailing part of it, or one element");
        return List.of(a.type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value a = n.input(0), b = n.input(1), dY = dOut.get(0);
        Value da = null, db = null;
        switch (kind) {
            case ADD -> {
                da = dY;
                db = dY;
            }
            case MUL -> {
                if (wanted[0]) da = Ops.mul(dY, b);
                if (wanted[1]) db = Ops.mul(dY, a);
            }
            case AXPBY -> {
                if (wanted[0]) da = Ops.scale(dY, alpha);
                if (wanted[1]) db = Ops.scale(dY, beta);
            }
        }
        return Arrays.asList(da, db);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, (kind == Kind.AXPBY ? 3.0 : 1.0) * n.output(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "binary";
    }

    @Override
    public int inPlace(Node n, int output) {
        return 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value a = n.input(0), b = n.input(1);
        w.in("a", 0).in("b", 1).out("y", 0);
        w.i64("n", a.shape().elements()).i64("m", b.shape().elements());
        w.choice("op", kind).type("type_b", b.dtype()).f64("alpha", alpha).f64("beta", beta);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        int[][][] shapes = {
            {{1}, {1}}, {{3, 5}, {5}}, {{3, 5}, {3, 5}}, {{7, 11}, {1}}, {{2, 3, 17}, {3, 17}}, {{2, 39548}, {39548}}
        };
        for (Kind k : Kind.values())
            for (int[][] s : shapes) for (boolean f32 : new boolean[] {false, true}) c.add(of(k, s[0], s[1], f32));
        c.add(OpCase.of(
                        "add [8, 197, 768][197, 768]",
                        4,
                        g -> List.of(Ops.add(g.normal(8, 197, 768), g.normal(DType.F32, 197, 768))))
                .benchmark());
        return c;
    }

    /** A case with the shapes of a and b; b is f32 for every compute type if {@code f32}. */
    private static OpCase of(Kind kind, int[] a, int[] b, boolean f32) {
        String name = kind + " " + Arrays.toString(a) + Arrays.toString(b) + (f32 ? " b f32" : "");
        return OpCase.of(name, 4, g -> {
            Value left = g.normal(a), right = f32 ? g.normal(DType.F32, b) : g.normal(b);
            return List.of(
                    g.graph().apply(new Binary(kind, 0.7, -1.3), left, right).output(0));
        });
    }
}
