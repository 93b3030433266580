// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.cortigan.io.Tensors.doubles;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.cortigan.grad.Gradients;
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

    private static int[] dims(SafeTensors t, String name) {
        return Arrays.stream(t.entry(name).shape()).mapToInt(Math::toIntExact).toArray();
    }

    private static void set(Storage s, double[] x) {
        for (int i = 0; i < x.length; i++) s.set(i, x[i]);
    }

    private static void compare(double[] want, Storage got, String what) {
        double scale = Arrays.stream(want).map(Math::abs).max().orElseThrow();
        assertEquals(want.length, got.type().shape().elements(), what);
        for (int i = 0; i < want.length; i++) assertEquals(want[i], got.get(i), 1e-9 * scale, what + "[" + i + "]");
    }

    private static void check(String name, int inputs, Function<List<Value>, Value> op) {
        CpuDevice ref = CpuDevice.doubleReference();
        try (SafeTensors t = SafeTensors.open(FILE)) {
            Graph g = new Graph();
            Value[] in = new Value[inputs];
            for (int i = 0; i < inputs; i++) in[i] = g.input("in." + i, DType.F32, dims(t, name + ".in." + i));
            Value y = op.apply(List.of(in)), seed = g.input("seed.0", DType.F32, dims(t, name + ".seed.0"));
            g.output("out.0", y);
            List<Value> d = Gradients.of(List.of(y), List.of(seed), List.of(in));
            for (int i = 0; i < inputs; i++) g.output("grad." + i, d.get(i));
            try (Variables vars = new Variables(ref);
                    Session s = new Session(g, ref, vars)) {
                for (int i = 0; i < inputs; i++) set(s.input("in." + i), doubles(t, name + ".in." + i));
                set(s.input("seed.0"), doubles(t, name + ".seed.0"));
                s.run();
                for (String k : g.outputs().keySet()) compare(doubles(t, name + "." + k), s.output(k), name + "." + k);
            }
        }
    }

    private static Value apply(org.cortigan.graph.Operation op, List<Value> in) {
        return in.get(0).graph().apply(op, in).output(0);
    }

    @Test
    void channelNormMatchesPyTorch() {
        check("group", 3, in -> apply(new ChannelNorm(3, false, 1e-5, 0.2), in));
        check("batch", 3, in -> apply(new ChannelNorm(6, true, 1e-5, 0.2), in));
    }

    @Test
    void readoutsMatchPyTorch() {
        check("choice", 2, in -> apply(new LayerChoice(DType.F32), in));
        check("factorised", 4, in -> {
            Value t = Ops.matmul(in.get(0), in.get(1), false, false, null, null, DType.F32);
            return apply(new Readout(), List.of(Ops.reshape(t, 7, 3, 5), in.get(2), in.get(3)));
        });
        check("position", 4, in -> apply(new PositionReadout(), in));
    }

    @Test
    void runningStatisticsAndEvaluationMatchPyTorch() {
        CpuDevice ref = CpuDevice.doubleReference();
        try (SafeTensors t = SafeTensors.open(FILE);
                Variables vars = new Variables(ref)) {
            Graph g = new Graph();
            int[] dims = dims(t, "steps.in.0");
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
                set(s.input("gamma"), doubles(t, "steps.gamma"));
                set(s.input("beta"), doubles(t, "steps.beta"));
                for (int step = 0; step < 3; step++) {
                    set(s.input("x"), doubles(t, "steps.in." + step));
                    s.run();
                }
                for (String k : List.of("mean", "var", "evaluated")) compare(doubles(t, "steps." + k), s.output(k), k);
            }
        }
    }
}
