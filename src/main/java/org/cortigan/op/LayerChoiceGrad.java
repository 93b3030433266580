// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradients of {@link LayerChoice}. Inputs dW (f32 as a product gives it, or of w's type), a, f; outputs da, df. */
public record LayerChoiceGrad() implements Op {
    @Override
    public String name() {
        return "layer_choice_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value a = in.get(1), f = in.get(2);
        Op.require(
                in.get(0).shape().elements() == (long) a.dim(0) * a.dim(1) * f.dim(1),
                this,
                in,
                "dW must be [V, L * C]");
        return List.of(a.type(), f.type());
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(
                n,
                4.0 * n.input(0).shape().elements() + 30.0 * n.input(1).shape().elements());
    }

    @Override
    public String kernel() {
        return "layer_choice_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0)
                .in(1)
                .in(2)
                .out(0)
                .out(1)
                .i64(n.input(1).dim(0))
                .i64(n.input(1).dim(1))
                .i64(n.input(2).dim(1));
    }
}
