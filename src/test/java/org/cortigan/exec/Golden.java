// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.io.Tensors;

/**
 * Compares ops on the double reference with golden files. A case has the tensors {@code NAME.in.0}, {@code NAME.in.1}
 * ..., {@code NAME.out.0}, the upstream gradient {@code NAME.seed.0} and the gradients {@code NAME.grad.0} ... of the
 * inputs, in F64 or F32.
 */
record Golden(Path file) {
    /** Tolerance of tensors in F64, relative to the largest element. */
    private static final double DOUBLE = 1e-9;

    static int[] dims(SafeTensors t, String name) {
        return Arrays.stream(t.entry(name).shape()).mapToInt(Math::toIntExact).toArray();
    }

    static double[] values(SafeTensors t, String name) {
        if (t.entry(name).dtype() == SafeTensors.DType.F64) return Tensors.doubles(t, name);
        float[] f = t.floats(name);
        double[] values = new double[f.length];
        for (int i = 0; i < f.length; i++) values[i] = f[i];
        return values;
    }

    static void set(Storage s, double[] x) {
        for (int i = 0; i < x.length; i++) s.set(i, x[i]);
    }

    static void compare(double[] want, Storage got, double tolerance, String what) {
        double scale = Arrays.stream(want).map(Math::abs).max().orElseThrow();
        assertEquals(want.length, got.type().shape().elements(), what);
        for (int i = 0; i < want.length; i++)
            assertEquals(want[i], got.get(i), tolerance * scale, what + "[" + i + "]");
    }

    static void compare(double[] want, Storage got, String what) {
        compare(want, got, DOUBLE, what);
    }

    /** A case of tensors in F64: output and gradients of an op on the case's inputs. */
    void check(String name, Function<List<Value>, Value> op) {
        check(name, DOUBLE, op);
    }

    /**
     * A case of tensors in F32, which were rounded after the results were computed in double.
     *
     * @param terms number of rounded terms in a result, each with an error of up to 2^-24 of the largest result
     */
    void checkRounded(String name, int terms, Function<List<Value>, Value> op) {
        check(name, terms * 0x1p-24, op);
    }

    private void check(String name, double tolerance, Function<List<Value>, Value> op) {
        CpuDevice ref = CpuDevice.doubleReference();
        try (SafeTensors t = SafeTensors.open(file)) {
            Graph g = new Graph();
            List<Value> in = new ArrayList<>();
            for (int i = 0; t.names().contains(name + ".in." + i); i++)
                in.add(g.input("in." + i, DType.F32, dims(t, name + ".in." + i)));
            Value y = op.apply(in), seed = g.input("seed.0", DType.F32, dims(t, name + ".seed.0"));
            g.output("out.0", y);
            List<Value> d = Gradients.of(List.of(y), List.of(seed), in);
            for (int i = 0; i < in.size(); i++) g.output("grad." + i, d.get(i));
            try (Variables vars = new Variables(ref);
                    Session s = new Session(g, ref, vars)) {
                for (int i = 0; i < in.size(); i++) set(s.input("in." + i), values(t, name + ".in." + i));
                set(s.input("seed.0"), values(t, name + ".seed.0"));
                s.run();
                for (String k : g.outputs().keySet())
                    compare(values(t, name + "." + k), s.output(k), tolerance, name + "." + k);
            }
        }
    }
}
