// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Sums over the rows of each group of a flat value, f32 [columns] for each: gradients of all groups' biases at once.
 *
 * @param rows of each group
 * @param columns of each group
 */
public record GroupedSum(List<Integer> rows, List<Integer> columns) implements Op {
    @Override
    public String name() {
        return "grouped_sum";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        long all = 0;
        for (int i = 0; i < rows.size(); i++) all += (long) rows.get(i) * columns.get(i);
        Op.require(in.get(0).shape().elements() == all, this, in, "must hold " + all + " numbers");
        return columns.stream().map(c -> Type.of(DType.F32, c)).toList();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "sum_leading";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        long[] at = {0};
        w.scratch().rows(rows.size(), i -> {
            w.in(0, at[0]).out(i).i64(rows.get(i)).i64(columns.get(i)).f64(1);
            at[0] += (long) rows.get(i) * columns.get(i);
        });
    }
}
