// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradients of {@link Readout}. Inputs dY, t, w; outputs dt, and dw and dbias in f32. */
public record ReadoutGrad() implements Op {
    @Override
    public String name() {
        return "readout_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value t = in.get(1);
        Op.require(
                in.get(0).type().equals(Type.of(t.dtype(), t.dim(1), t.dim(0))),
                this,
                in,
                "dY must be [B, V] of t's type");
        return List.of(t.type(), new Type(DType.F32, in.get(2).shape()), Type.of(DType.F32, t.dim(0)));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 3.0 * n.input(1).shape().elements());
    }

    @Override
    public String kernel() {
        return "readout_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).in(1).in(2).out(0).out(1).out(2);
        for (int i = 0; i < 3; i++) w.i64(n.input(1).dim(i));
    }
}
