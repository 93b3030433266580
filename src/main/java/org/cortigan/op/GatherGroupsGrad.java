// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * dX [R, V] of {@link GatherGroups}: what flowed back to a column from each group that picked it, summed in their
 * order.
 */
public record GatherGroupsGrad(int rows) implements Op {
    @Override
    public String name() {
        return "gather_groups_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        return List.of(Type.of(in.get(0).dtype(), rows, in.get(1).dim(0) - 1));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "gather_groups_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).in(1).in(2).out(0).i64(rows).i64(n.output(0).dim(1));
    }
}
