// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * y = scale * sum of x over its leading axes, down to the trailing shape {@code to} or to one element; y is always f32.
 * Gradients of biases and of broadcast operands use it.
 */
record SumLeading(Shape to, double scale) implements Op {
    @Override
    public String name() {
        return "sum_leading";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(
                Binary.repeats(in.get(0).shape(), to),
                this,
                in,
                to + " must be one element or a trailing part of the shape of x");
        return List.of(new Type(DType.F32, to));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value x = n.input(0);
        Value zero = x.graph().constant(0, x.dtype(), x.shape().dims());
        return List.of(x.graph()
                .apply(new Binary(Binary.Kind.AXPBY, 0, scale), zero, dOut.get(0))
                .output(0));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        long c = to.elements();
        w.scratch("scratch").rows("rows", "n", 1, i -> {
            w.in("x", 0).out("y", 0);
            w.i64("R", n.input(0).shape().elements() / c).i64("C", c).f64("scale", scale);
        });
    }

    /**
     * Sums over the rows of each group of a flat value: the bias gradients of all groups in one node. Outputs: f32
     * [columns] for each group.
     *
     * @param rows number of rows of each group
     * @param columns number of columns of each group
     */
    record Grouped(List<Integer> rows, List<Integer> columns) implements Op.Gradient {
        @Override
        public String name() {
            return "sum_leading";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            long all = 0;
            for (int i = 0; i < rows.size(); i++) all += (long) rows.get(i) * columns.get(i);
            Op.require(in.get(0).shape().elements() == all, this, in, "x must have " + all + " elements");
            return columns.stream().map(c -> Type.of(DType.F32, c)).toList();
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            long[] at = {0};
            w.scratch("scratch").rows("rows", "n", rows.size(), i -> {
                w.in("x", 0, at[0]).out("y", i);
                w.i64("R", rows.get(i)).i64("C", columns.get(i)).f64("scale", 1);
                at[0] += (long) rows.get(i) * columns.get(i);
            });
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 0.5),
                of(5, 3, 0.5),
                of(39548, 1, 0.5),
                of(3, 39548, 0.5),
                of(1009, 33, 0.5),
                of(1576, 3072, 1).benchmark(),
                of(32, 39548, 1).benchmark());
    }

    private static OpCase of(int rows, int columns, double scale) {
        SumLeading op = new SumLeading(Shape.of(columns), scale);
        return OpCase.of(
                "sum_leading " + rows + "x" + columns,
                rows,
                g -> List.of(g.graph().apply(op, g.normal(rows, columns)).output(0)));
    }
}
