// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import java.util.Locale;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** dX = dY f'(x) of an {@link Activation}. Inputs x, dY. */
public record ActivationGrad(Activation.Kind kind, double alpha) implements Op {
    @Override
    public String name() {
        return kind.name().toLowerCase(Locale.ROOT) + "_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).type().equals(in.get(1).type()), this, in, "x and dY must be alike");
        return List.of(in.get(0).type());
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, (Activation.flops(kind) + 3) * n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "activation_grad";
    }

    @Override
    public int inPlace(Node n, int output) {
        return 1;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0)
                .in(1)
                .out(0)
                .i64(n.input(0).shape().elements())
                .i64(kind.ordinal())
                .f64(alpha);
    }
}
