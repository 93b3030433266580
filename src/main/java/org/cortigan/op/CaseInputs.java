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

/** A graph under construction whose inputs know what to be filled with; for {@link OpCase}. */
public final class CaseInputs {
    private final Graph graph = new Graph();
    private final DType compute;
    private final Map<String, Function<SplittableRandom, float[]>> data = new LinkedHashMap<>();
    private final List<Value> differentiable = new ArrayList<>();

    /** @param compute type of activations: f32 or bf16 */
    public CaseInputs(DType compute) {
        this.compute = compute;
    }

    public Graph graph() {
        return graph;
    }

    public DType compute() {
        return compute;
    }

    /** Standard normal numbers of the compute type; the gradient check moves them. */
    public Value normal(int... dims) {
        return normal(compute, dims);
    }

    public Value normal(DType t, int... dims) {
        return moved(t, r -> gaussian(r, elements(dims)), dims);
    }

    /** The given contents; the gradient check moves them. */
    public Value moved(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        Value v = filled(t, fill, dims);
        differentiable.add(v);
        return v;
    }

    /** Data that no gradient is asked for. */
    public Value filled(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        String name = "x" + data.size();
        data.put(name, fill);
        return graph.input(name, t, dims);
    }

    /** A variable (for updates in place) with the given contents. */
    public Value variable(DType t, Function<SplittableRandom, float[]> fill, int... dims) {
        String name = "x" + data.size();
        data.put(name, fill);
        return graph.variable(name, t, dims);
    }

    public Value bytes(int... dims) {
        return filled(DType.U8, r -> integers(r, elements(dims), 256), dims);
    }

    /** Integers in [0, bound). */
    public Value index(int bound, int... dims) {
        return filled(DType.I32, r -> integers(r, elements(dims), bound), dims);
    }

    public Value scalar(double x) {
        return filled(DType.F32, r -> new float[] {(float) x}, 1);
    }

    /** Contents of inputs and variables by name. */
    public Map<String, Function<SplittableRandom, float[]>> data() {
        return data;
    }

    /** Inputs that the gradient check moves. */
    public List<Value> differentiable() {
        return differentiable;
    }

    public static int elements(int... dims) {
        int n = 1;
        for (int d : dims) n = Math.multiplyExact(n, d);
        return n;
    }

    public static float[] gaussian(SplittableRandom r, int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) r.nextGaussian();
        return f;
    }

    /** Squares of normal numbers plus 0.1: variances. */
    public static float[] positive(SplittableRandom r, int n) {
        float[] f = gaussian(r, n);
        for (int i = 0; i < n; i++) f[i] = f[i] * f[i] + 0.1f;
        return f;
    }

    public static float[] integers(SplittableRandom r, int n, int bound) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = r.nextInt(bound);
        return f;
    }
}
