// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/** A view of the same elements with another shape. */
record Reshape(Shape shape) implements Op.View {
    @Override
    public String name() {
        return "reshape";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).shape().elements() == shape.elements(), this, in, "cannot be viewed as " + shape);
        return List.of(new Type(in.get(0).dtype(), shape));
    }

    @Override
    public int storage(int output) {
        return 0;
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return List.of(Ops.reshape(dOut.get(0), n.input(0).shape().dims()));
    }

    public static List<OpCase> cases() {
        return List.of(OpCase.of("reshape 3x4 to 12", 1, g -> List.of(Ops.scale(Ops.reshape(g.normal(3, 4), 12), 2))));
    }
}
