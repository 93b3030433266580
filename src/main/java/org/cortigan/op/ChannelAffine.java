// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * BatchNorm in evaluation, with given statistics: y = leaky((x - mean) / sqrt(var + eps) * gamma + beta). Inputs: x
 * [..., C] and gamma, beta, mean, var f32[C]; {@link TrackStatistics} updates mean and var. No gradient, since training
 * uses {@link ChannelNorm}.
 *
 * @param slope of the leaky ReLU below zero; 1 for none
 */
public record ChannelAffine(double eps, double slope) implements Op.NoGradient {
    @Override
    public String name() {
        return "channel_affine";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type p = Type.of(DType.F32, in.get(0).dim(-1));
        for (int i = 1; i < 5; i++)
            Op.require(in.get(i).type().equals(p), this, in, "gamma, beta, mean and var must be " + p);
        return List.of(in.get(0).type());
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 5.0 * n.input(0).shape().elements());
    }

    @Override
    public int inPlace(Node n, int output) {
        return 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        int c = n.input(0).dim(-1);
        w.in("x", 0).in("gamma", 1).in("beta", 2).in("mean", 3).in("var", 4).out("y", 0);
        w.i64("rows", n.input(0).shape().elements() / c).i64("C", c);
        w.f64("eps", eps).f64("slope", slope);
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1).noGradient(),
                of(7, 5).noGradient(),
                of(131, 67).noGradient(),
                of(39548, 3).noGradient(),
                of(8 * 112 * 112, 64).benchmark());
    }

    private static OpCase of(int rows, int width) {
        return OpCase.of("channel_affine " + rows + "x" + width, 8, g -> {
            List<Value> in = new ArrayList<>(List.of(g.normal(rows, width)));
            for (int i = 0; i < 3; i++) in.add(g.filled(DType.F32, r -> CaseInputs.gaussian(r, width), width));
            in.add(g.filled(DType.F32, r -> CaseInputs.positive(r, width), width));
            return List.of(g.graph().apply(new ChannelAffine(1e-5, 0.2), in).output(0));
        });
    }
}
