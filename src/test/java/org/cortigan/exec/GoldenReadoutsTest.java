// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.op.ChannelAffine;
import org.cortigan.op.ChannelNorm;
import org.cortigan.op.LayerChoice;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;
import org.cortigan.op.Readout;
import org.cortigan.op.TrackStatistics;
import org.junit.jupiter.api.Test;

/** Compares channel normalisation and readouts with PyTorch in double (tools/golden_readouts.py). */
class GoldenReadoutsTest {
    private static final Path FILE = Path.of("src/test/resources/models/readouts.safetensors");

    private static final Golden GOLDEN = new Golden(FILE);

    private static Value apply(org.cortigan.graph.Operation op, List<Value> in) {
        return in.get(0).graph().apply(op, in).output(0);
    }

    @Test
    void channelNormMatchesPyTorch() {
        GOLDEN.check("group", in -> apply(new ChannelNorm(3, false, 1e-5, 0.2), in));
        GOLDEN.check("batch", in -> apply(new ChannelNorm(6, true, 1e-5, 0.2), in));
    }

    @Test
    void readoutsMatchPyTorch() {
        GOLDEN.check("choice", in -> apply(new LayerChoice(DType.F32), in));
        GOLDEN.check("factorised", in -> {
            Value t = Ops.matmul(in.get(0), in.get(1), false, false, null, null, DType.F32);
            return apply(new Readout(), List.of(Ops.reshape(t, 7, 3, 5), in.get(2), in.get(3)));
        });
        GOLDEN.check("position", in -> apply(new PositionReadout(), in));
    }

    @Test
    void runningStatisticsAndEvaluationMatchPyTorch() {
        CpuDevice ref = CpuDevice.doubleReference();
        try (SafeTensors t = SafeTensors.open(FILE);
                Variables vars = new Variables(ref)) {
            Graph g = new Graph();
            int[] dims = Golden.dims(t, "steps.in.0");
            int c = dims[3];
            Value x = g.input("x", DType.F32, dims),
                    gamma = g.input("gamma", DType.F32, c),
                    beta = g.input("beta", DType.F32, c);
            Value mean = g.variable("mean", DType.F32, c), var = g.variable("var", DType.F32, c);
            Node n = g.apply(new ChannelNorm(c, true, 1e-5, 0.2), x, gamma, beta);
            long count = x.shape().elements() / c;
            Node now = g.apply(new TrackStatistics(0.1, count, 1e-5), mean, var, n.output(1), n.output(2));
            g.output("mean", now.output(0));
            g.output("var", now.output(1));
            g.output(
                    "evaluated",
                    g.apply(new ChannelAffine(1e-5, 0.2), x, gamma, beta, now.output(0), now.output(1))
                            .output(0));
            try (Session s = new Session(g, ref, vars)) {
                vars.find("var").fill(1);
                Golden.set(s.input("gamma"), Golden.values(t, "steps.gamma"));
                Golden.set(s.input("beta"), Golden.values(t, "steps.beta"));
                for (int step = 0; step < 3; step++) {
                    Golden.set(s.input("x"), Golden.values(t, "steps.in." + step));
                    s.run();
                }
                for (String k : List.of("mean", "var", "evaluated"))
                    Golden.compare(Golden.values(t, "steps." + k), s.output(k), k);
            }
        }
    }
}
