// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Updates the running statistics of BatchNorm in place, as torch does: exponential averages of the mean and of the
 * unbiased variance. Inputs, all f32[C]: the variables runningMean and runningVar, then mean and rstd of
 * {@link ChannelNorm}. Outputs: runningMean and runningVar after the step.
 *
 * @param momentum weight of the new statistics
 * @param count number of elements per channel in the statistics, at least 2
 * @param eps epsilon of the {@link ChannelNorm}
 */
public record TrackStatistics(double momentum, long count, double eps) implements Op.Update {
    @Override
    public String name() {
        return "track_statistics";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type t = in.get(0).type();
        Op.require(t.dtype() == DType.F32 && t.shape().rank() == 1, this, in, "statistics must be f32[C]");
        for (Value v : in) Op.require(v.type().equals(t), this, in, "the statistics must have the same type and shape");
        Op.require(
                count >= 2,
                this,
                in,
                "statistics of " + count + " element have no variance; use a larger batch or map");
        return List.of(t, t);
    }

    @Override
    public int storage(int output) {
        return output;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 10.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("runningMean", 0).in("runningVar", 1).in("mean", 2).in("rstd", 3);
        w.i64("C", n.input(0).dim(0))
                .f64("momentum", momentum)
                .f64("count", count)
                .f64("eps", eps);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int n : new int[] {1, 37, 512}) {
            OpCase o = OpCase.of("track_statistics " + n, 16, s -> {
                Value m = s.variable(DType.F32, r -> CaseInputs.gaussian(r, n), n);
                Value v = s.variable(DType.F32, r -> CaseInputs.positive(r, n), n);
                Value mean = s.filled(DType.F32, r -> CaseInputs.gaussian(r, n), n);
                Value rstd = s.filled(DType.F32, r -> CaseInputs.positive(r, n), n);
                return s.graph()
                        .apply(new TrackStatistics(0.1, 33, 1e-5), m, v, mean, rstd)
                        .outputs();
            });
            // The averages add terms of a few standard deviations, which may cancel.
            c.add(o.scaled(4).noGradient());
        }
        return c;
    }
}
