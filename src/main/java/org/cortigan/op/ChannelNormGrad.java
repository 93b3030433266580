// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link ChannelNorm}. Inputs dY, x, gamma, beta, mean, rstd; outputs dX, dGamma, dBeta. */
public record ChannelNormGrad(int groups, boolean batch, double slope) implements Op {
    @Override
    public String name() {
        return "channel_norm_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).type().equals(in.get(1).type()), this, in, "dY and x must be alike");
        Type p = Type.of(DType.F32, in.get(1).dim(-1));
        return List.of(in.get(1).type(), p, p);
    }

    @Override
    public Cost cost(Node n) {
        Cost once = Op.cost(n, 18.0 * n.input(0).shape().elements());
        return new Cost(once.flops(), once.bytesRead() + 2 * Op.bytes(n.input(0)), once.bytesWritten());
    }

    @Override
    public String kernel() {
        return "channel_norm_grad";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        for (int i = 0; i < 6; i++) w.in(i);
        w.out(0).out(1).out(2).scratch();
        ChannelNorm.extents(w, n.input(1), batch, groups);
        w.f64(slope);
    }
}
