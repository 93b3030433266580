// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link GroupedConv1d} by x: inputs flat dY, the weights, the scales if {@code hasScale}; output flat. */
public record GroupedConv1dGradX(int rows, List<Integer> sizes, int stride, boolean hasScale) implements Op {
    @Override
    public String name() {
        return "grouped_conv1d_grad_x";
    }

    private List<Shape> weights(List<Value> in) {
        return in.subList(1, 1 + sizes.size()).stream().map(Value::shape).toList();
    }

    @Override
    public List<Type> infer(List<Value> in) {
        long n = 0;
        for (int i = 0; i < sizes.size(); i++)
            n += GroupedConv1d.x(rows, sizes.get(i), in.get(1 + i).shape()).elements();
        return List.of(Type.of(in.get(0).dtype(), Math.toIntExact(n)));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, GroupedConv1d.flops(rows, sizes, weights(n.inputs()), stride));
    }

    @Override
    public String kernel() {
        return "grouped_conv2d_grad_x";
    }

    @Override
    public void args(Node n, ArgWriter a) {
        long[] at = new long[2];
        a.state().scratch();
        a.rows(sizes.size(), g -> {
            Shape w = n.input(1 + g).shape();
            a.none().in(0, at[0]).in(1 + g).out(0, at[1]).none();
            GroupedConv1d.shape(a, rows, sizes.get(g), w, stride, n.input(0).dtype());
            a.inOrNone(hasScale ? 1 + sizes.size() + g : -1);
            at[0] += GroupedConv1d.y(rows, sizes.get(g), w, stride).elements();
            at[1] += GroupedConv1d.x(rows, sizes.get(g), w).elements();
        });
    }
}
