// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link MeanMiddle}: dY [B, C] over n, repeated to [B, n, C]. */
public record MeanMiddleGrad(int n) implements Op {
    @Override
    public String name() {
        return "mean_middle_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value d = in.get(0);
        return List.of(new Type(d.dtype(), Shape.of(d.dim(0), n, d.dim(1))));
    }

    @Override
    public Cost cost(Node node) {
        return Op.cost(node, node.output(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "mean_middle_grad";
    }

    @Override
    public void args(Node node, ArgWriter w) {
        Value d = node.input(0);
        w.in(0).out(0).i64(d.dim(0)).i64(n).i64(d.dim(1));
    }
}
