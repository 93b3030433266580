// SPDX-License-Identifier: Apache-2.0
package org.cortigan.bench;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/**
 * Times every op's benchmark cases: forward and, for ops with gradients, forward with the gradients of all inputs. Run
 * it with tools/bench [PART OF A CASE'S NAME]; the cases come from the ops' files.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 4, time = 1)
@Fork(1)
public class KernelBenchmark {
    @Param("")
    public String name;

    @Param({"F32", "BF16"})
    public DType type;

    @Param({"forward", "forward+backward"})
    public String pass;

    private Variables vars;
    private Session session;

    /** Names of the benchmark cases whose name contains {@code part}. */
    public static String[] names(String part) {
        return OpCases.all().stream()
                .filter(c -> c.bench() && c.name().contains(part))
                .map(OpCase::name)
                .distinct()
                .toArray(String[]::new);
    }

    @Setup(Level.Trial)
    public void setUp() {
        CpuDevice cpu = CpuDevice.best(0);
        CaseInputs s = graph();
        Graph g = s.graph();
        vars = new Variables(cpu);
        session = new Session(g, cpu, vars);
        s.data().forEach((n, fill) -> {
            Storage x = session.hasInput(n) ? session.input(n) : vars.find(n);
            float[] f = fill.apply(new SplittableRandom(1));
            if (x.type().dtype().isFloat()) x.write(f);
            else for (int i = 0; i < f.length; i++) x.set(i, f[i]);
        });
    }

    private CaseInputs graph() {
        OpCase c = OpCases.all().stream()
                .filter(x -> x.bench() && x.name().equals(name))
                .findFirst()
                .orElseThrow();
        CaseInputs s = new CaseInputs(type);
        var outs = c.body().apply(s);
        Graph g = s.graph();
        int k = 0;
        for (Value v : outs) g.output("y" + k++, v);
        if (pass.endsWith("backward")) {
            // the upstream gradient of every output is the constant 1: one stored number that the engine repeats
            var seeds = outs.stream()
                    .map(o -> g.constant(1, o.dtype(), o.shape().dims()))
                    .toList();
            for (Value d : Gradients.of(outs, seeds, s.differentiable())) g.output("d" + k++, d);
        }
        return s;
    }

    @Benchmark
    public void run() {
        session.run();
    }

    @TearDown(Level.Trial)
    public void tearDown() {
        session.close();
        vars.close();
    }

    private static boolean hasGradient(String name) {
        KernelBenchmark b = new KernelBenchmark();
        b.name = name;
        b.type = DType.F32;
        b.pass = "forward+backward";
        try {
            return !b.graph().differentiable().isEmpty();
        } catch (UnsupportedOperationException | IllegalArgumentException e) {
            return false;
        }
    }

    public static void main(String[] args) throws RunnerException {
        String[] names = names(args.length > 0 ? args[0] : "");
        if (names.length == 0)
            throw new IllegalArgumentException("no benchmark case's name contains " + Arrays.toString(args));
        for (String pass : new String[] {"forward", "forward+backward"}) {
            String[] selected = pass.equals("forward")
                    ? names
                    : Arrays.stream(names).filter(KernelBenchmark::hasGradient).toArray(String[]::new);
            if (selected.length == 0) continue;
            ChainedOptionsBuilder o = new OptionsBuilder()
                    .include(KernelBenchmark.class.getSimpleName())
                    .param("name", selected)
                    .param("pass", pass);
            if (args.length > 1) o = o.measurementTime(TimeValue.milliseconds(Long.parseLong(args[1])));
            new Runner(o.build()).run();
        }
    }
}
