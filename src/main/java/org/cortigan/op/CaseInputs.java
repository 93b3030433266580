// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;

/** Builds the graph of an {@link OpCase} and records how to fill its inputs and variables. */
public final class CaseInputs {
    private final Graph graph = new Graph();
    private final DType compute;
    private final Map<String, Function<SplittableRandom, float[]>> data = new LinkedHashMap<>();
    private final List<Value> differentiable = new ArrayList<>();
    private final boolean computed;

    /** @param compute type of activations: f32 or bf16 */
    public CaseInputs(DType compute) {
        this(compute, false);
    }

    /**
     * @param compute type of activations: f32 or bf16
     * @param computed whether the op reads computed copies of the inputs with a gradient. A plan never writes to an
     *     input, but an output may take the storage of such a copy.
     */
    public CaseInputs(DType compute, boolean computed) {
        this.compute = compute;
        this.computed = computed;
    }

    /** The graph to which the inputs and the op belong. */
    public Graph graph() {
        return graph;
    }

    /** Type of activations: f32 or bf16. */
    public DType compute() {
        return compute;
    }

    /** An input of standard normal numbers in the compute type, which the gradient check perturbs. */
    public Value normal(int... dims) {
        return normal(compute, dims);
    }

    /** An input of standard normal numbers in the given type, which the gradient check perturbs. */
    public Value normal(DType t, int... dims) {
        return perturbed(t, r -> gaussian(r, elements(dims)), dims);
    }

    /** An input with the given contents, which the gradient check perturbs. */
    public Value perturbed(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        Value v = filled(t, fill, dims);
        differentiable.add(v);
        return copy(v);
    }

    /** A copy of the value if this graph reads computed copies; otherwise the value itself. */
    public Value copy(Value v) {
        return computed ? Ops.scale(v, 1) : v; // times 1 is exact
    }

    /** An input with the given contents, without gradient. */
    public Value filled(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        String name = "x" + data.size();
        data.put(name, fill);
        return graph.input(name, t, dims);
    }

    /** A variable with the given contents, for updates in place. */
    public Value variable(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        String name = "x" + data.size();
        data.put(name, fill);
        return graph.variable(name, t, dims);
    }

    /** A u8 input of random bytes. */
    public Value bytes(int... dims) {
        return filled(DType.U8, r -> integers(r, elements(dims), 256), dims);
    }

    /** An i32 input of integers in [0, bound). */
    public Value index(int bound, int... dims) {
        return filled(DType.I32, r -> integers(r, elements(dims), bound), dims);
    }

    /** An f32[1] input. */
    public Value scalar(double x) {
        return filled(DType.F32, r -> new float[] {(float) x}, 1);
    }

    /** The functions that fill the inputs and variables, by name. */
    public Map<String, Function<SplittableRandom, float[]>> data() {
        return data;
    }

    /** Inputs that the gradient check perturbs. */
    public List<Value> differentiable() {
        return differentiable;
    }

    /** Product of the extents. */
    public static int elements(int... dims) {
        int n = 1;
        for (int d : dims) n = Math.multiplyExact(n, d);
        return n;
    }

    /** Standard normal numbers. */
    public static float[] gaussian(SplittableRandom r, int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) r.nextGaussian();
        return f;
    }

    /** Squares of standard normal numbers plus 0.1, for variances. */
    public static float[] positive(SplittableRandom r, int n) {
        float[] f = gaussian(r, n);
        for (int i = 0; i < n; i++) f[i] = f[i] * f[i] + 0.1f;
        return f;
    }

    /** Integers in [0, bound). */
    public static float[] integers(SplittableRandom r, int n, int bound) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = r.nextInt(bound);
        return f;
    }
}
