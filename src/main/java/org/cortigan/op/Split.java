// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Views of consecutive parts of the leading axis. The gradient is one tensor again, in which a plan lets the gradients
 * of the parts be computed ({@link Assemble#joins}).
 *
 * @param extents of the parts along the leading axis; their sum is the input's extent
 */
record Split(List<Integer> extents) implements Op.View {
    @Override
    public String name() {
        return "split";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(
                extents.stream().mapToInt(n -> n).sum() == x.dim(0),
                this,
                in,
                "the extents " + extents + " do not add up to the leading one");
        return extents.stream()
                .map(n -> new Type(x.dtype(), x.shape().with(0, n)))
                .toList();
    }

    @Override
    public int storage(int output) {
        return 0;
    }

    @Override
    public long storageOffset(Node n, int output) {
        Shape s = n.input(0).shape();
        long rows = 0;
        for (int i = 0; i < output; i++) rows += extents.get(i);
        return rows * s.elements(1, s.rank());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        List<Value> parts = new ArrayList<>();
        for (Value out : n.outputs()) {
            Value d = dOut.get(out.index());
            parts.add(
                    d != null
                            ? d
                            : n.graph()
                                    .constant(
                                            0, other(dOut).dtype(), out.shape().dims()));
        }
        return List.of(Ops.concat(0, parts.toArray(new Value[0])));
    }

    private static Value other(List<@Nullable Value> dOut) {
        for (Value d : dOut) if (d != null) return d;
        throw new IllegalArgumentException("no part has a gradient");
    }

    public static List<OpCase> cases() {
        return List.of(
                // Parts at multiples of 256 bytes are views. Scaling keeps the outputs from being parts of an input.
                OpCase.of("split [6, 128] to 2, 1 and 3", 1, g -> {
                    List<Value> p = Ops.split(g.normal(6, 128), 2, 1, 3);
                    return List.of(Ops.scale(p.get(0), 2), Ops.scale(p.get(1), 3), Ops.scale(p.get(2), 5));
                }),
                OpCase.of("split [5, 7] to 2 and 3", 1, g -> {
                    List<Value> p = Ops.split(g.normal(5, 7), 2, 3);
                    return List.of(Ops.scale(p.get(0), 2), Ops.scale(p.get(1), 3));
                }),
                OpCase.of(
                        "split [4, 128] of which one part is read",
                        1,
                        g -> List.of(Ops.scale(Ops.split(g.normal(4, 128), 1, 3).get(1), 2))));
    }
}
