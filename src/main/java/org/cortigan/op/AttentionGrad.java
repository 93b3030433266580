// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link Attention}. Inputs qkv, y, log-sum-exp, dY; output dQKV, like qkv. */
public record AttentionGrad(int heads) implements Op {
    @Override
    public String name() {
        return "attention_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(3).type().equals(in.get(1).type()), this, in, "dY must be like y");
        return List.of(in.get(0).type());
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 10 * Attention.products(n.input(0)));
    }

    @Override
    public String kernel() {
        return "attention_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.in(0).in(1).in(2).in(3).out(0).scratch();
        w.i64(x.dim(0)).i64(x.dim(1)).i64(heads).i64(x.dim(2) / (3 * heads));
    }
}
