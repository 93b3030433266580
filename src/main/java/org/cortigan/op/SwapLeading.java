// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/** Swaps the axes A and B: [A, B, C] to [B, A, C], or [N, A, B, C] to [N, B, A, C]. */
public record SwapLeading() implements Op {
    @Override
    public String name() {
        return "swap_leading";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        int r = x.shape().rank();
        Op.require(
                (r == 3 || r == 4) && x.dtype().isFloat(),
                this,
                in,
                "x must be a floating-point [A, B, C] or [N, A, B, C]");
        return List.of(new Type(
                x.dtype(),
                r == 3 ? Shape.of(x.dim(1), x.dim(0), x.dim(2)) : Shape.of(x.dim(0), x.dim(2), x.dim(1), x.dim(3))));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        // dY may be f32 although x is not: a product computes the gradient of its right operand in f32.
        return List.of(Ops.swapLeading(Ops.cast(dOut.get(0), n.input(0).dtype())));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 0);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.in("x", 0).out("y", 0);
        w.i64("A", x.dim(-3)).i64("B", x.dim(-2)).i64("C", x.dim(-1));
        w.i64("N", x.shape().rank() == 3 ? 1 : x.dim(0));
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1),
                of(2, 5, 3),
                of(7, 3, 1),
                of(5, 13, 16),
                of(3, 5, 2, 3),
                of(1, 4, 3, 2),
                of(2, 1, 3, 5),
                of(2, 300, 16, 1),
                of(2, 9, 300, 1),
                of(1, 34, 40, 1),
                of(512, 512, 16, 1).benchmark(),
                of(32, 256, 64).benchmark());
    }

    private static OpCase of(int... dims) {
        String extents = Arrays.stream(dims).mapToObj(Integer::toString).collect(Collectors.joining("x"));
        return OpCase.of("swap_leading " + extents, 1, g -> List.of(Ops.swapLeading(g.normal(dims))));
    }
}
