// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradients of {@link PositionReadout}. Inputs dY, x, position, w; outputs dX, and dPosition, dw and dbias in f32. */
public record PositionReadoutGrad() implements Op {
    @Override
    public String name() {
        return "position_readout_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(1), p = in.get(2);
        Op.require(
                in.get(0).type().equals(Type.of(x.dtype(), x.dim(0), p.dim(0))),
                this,
                in,
                "dY must be [B, V] of x's type");
        return List.of(x.type(), p.type(), new Type(DType.F32, in.get(3).shape()), Type.of(DType.F32, p.dim(0)));
    }

    @Override
    public Cost cost(Node n) {
        Cost once = Op.cost(n, 18.0 * n.input(1).dim(0) * n.input(3).shape().elements());
        return new Cost(once.flops(), once.bytesRead() + 4 * Op.bytes(n.input(3)), once.bytesWritten());
    }

    @Override
    public String kernel() {
        return "position_readout_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).in(1).in(2).in(3).out(0).out(1).out(2).out(3).scratch();
        PositionReadout.extents(w, n.input(1), n.input(2));
    }
}
