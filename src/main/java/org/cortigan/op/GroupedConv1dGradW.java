// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradients of {@link GroupedConv1d} by its (scaled) weights: inputs flat x and dY; outputs of the shapes {@code of},
 * f32.
 */
public record GroupedConv1dGradW(int rows, List<Integer> sizes, int stride, List<Shape> of) implements Op {
    @Override
    public String name() {
        return "grouped_conv1d_grad_w";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        return of.stream().map(s -> new Type(DType.F32, s)).toList();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, GroupedConv1d.flops(rows, sizes, of, stride));
    }

    @Override
    public String kernel() {
        return "grouped_conv2d_grad_w";
    }

    @Override
    public void args(Node n, ArgWriter a) {
        long[] at = new long[2];
        a.state().scratch();
        a.rows(sizes.size(), g -> {
            a.none().in(0, at[0]).in(1, at[1]).out(g).none();
            GroupedConv1d.shape(
                    a, rows, sizes.get(g), of.get(g), stride, n.input(0).dtype());
            at[0] += GroupedConv1d.x(rows, sizes.get(g), of.get(g)).elements();
            at[1] += GroupedConv1d.y(rows, sizes.get(g), of.get(g), stride).elements();
        });
    }
}
