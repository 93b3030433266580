// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradient of {@link LayerNorm}. Inputs dY, s, gamma, mean, rstd and, if {@code hasSum}, the gradient of s that comes
 * by another way; outputs dS (the gradient of both x and r), dGamma, dBeta.
 */
public record LayerNormGrad(boolean hasSum) implements Op {
    @Override
    public String name() {
        return "layernorm_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).type().equals(in.get(1).type()), this, in, "dY and s must be alike");
        Type p = Type.of(DType.F32, in.get(1).dim(-1));
        return List.of(in.get(1).type(), p, p);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 14.0 * n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "layernorm_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).inOrNone(hasSum ? 5 : -1).in(1).in(2).in(3).in(4);
        w.out(0).out(1).out(2).scratch();
        w.i64(LayerNorm.rows(n.input(1))).i64(n.input(1).dim(-1));
    }
}
