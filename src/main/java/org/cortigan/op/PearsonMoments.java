// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Moments for Pearson's r of each vertex over all images of a split, updated in place by a batch. Formulas:
 * kernels/pearson_moments/pearson_moments.h.
 *
 * <p>Inputs: prediction [B, V]; target f32 [B, V]; rows i32[2] = {number of images already in the moments, 0 to start
 * again; number of leading rows of this batch to add}; moments, a variable f64 [5, V]: means of prediction and target,
 * sums of their squared deviations, sum of products. Output: the moments after the batch.
 */
public record PearsonMoments() implements Op.Update {
    /** Number of moments per vertex. */
    public static final int ROWS = 5;

    @Override
    public String name() {
        return "pearson_moments";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value p = in.get(0);
        Op.require(p.shape().rank() == 2 && p.dtype().isFloat(), this, in, "the prediction must be [images, vertices]");
        Op.require(
                in.get(1).type().equals(new Type(DType.F32, p.shape())),
                this,
                in,
                "the target must be f32 and have the shape of the prediction");
        Op.require(in.get(2).type().equals(Type.of(DType.I32, 2)), this, in, "the rows must be i32[2]");
        Op.require(
                in.get(3).type().equals(Type.of(DType.F64, ROWS, p.dim(1))),
                this,
                in,
                "the moments must be f64[5, vertices]");
        return List.of(in.get(3).type());
    }

    @Override
    public int storage(int output) {
        return 3;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 11.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("pred", 0).in("target", 1).in("rows", 2).out("state", 0);
        w.i64("B", n.input(0).dim(0)).i64("V", n.input(0).dim(1));
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.addAll(partialBatches(1, 1));
        c.addAll(partialBatches(2, 3));
        c.addAll(partialBatches(7, 5));
        c.addAll(partialBatches(13, 101));
        c.addAll(partialBatches(64, 33));
        c.addAll(partialBatches(65, 31));
        c.addAll(partialBatches(130, 70));
        for (int before : new int[] {0, 10}) c.add(of(70, 45, before, 70, 1000));
        c.add(of(5, 39548, 10, 4, 0));
        c.add(of(64, 39548, 64, 64, 0).benchmark());
        return c;
    }

    /** First and later batches of which no row, one row, all rows but one or all rows count. */
    private static List<OpCase> partialBatches(int b, int v) {
        List<OpCase> c = new ArrayList<>();
        for (int before : new int[] {0, 10})
            for (int n : new TreeSet<>(List.of(0, 1, b - 1, b))) c.add(of(b, v, before, n, 0));
        return c;
    }

    /**
     * A case whose data have a mean of {@code offset}.
     *
     * @param offset at 1000, plain f32 sums of squares would be wrong in their first digit
     */
    private static OpCase of(int b, int v, int before, int n, double offset) {
        // Sums are in double: only the rounding of the compared values to f32 differs.
        return OpCase.of(
                        "pearson_moments " + b + "x" + v + " " + n + " after " + before
                                + (offset == 0 ? "" : " at " + offset),
                        0,
                        s -> {
                            Function<SplittableRandom, float[]> data =
                                    r -> shifted(CaseInputs.gaussian(r, b * v), 0, b * v, offset);
                            Value p = s.filled(s.compute(), data, b, v), t = s.filled(DType.F32, data, b, v);
                            Value rows = s.filled(DType.I32, r -> new float[] {before, n}, 2);
                            Value moments = s.variable(
                                    DType.F64,
                                    r -> {
                                        float[] m = shifted(CaseInputs.positive(r, ROWS * v), 0, 2 * v, offset);
                                        if (before == 0) Arrays.fill(m, Float.NaN); // old moments must not be read
                                        return m;
                                    },
                                    ROWS,
                                    v);
                            return s.graph()
                                    .apply(new PearsonMoments(), p, t, rows, moments)
                                    .outputs();
                        })
                .roundings(0)
                .noGradient();
    }

    private static float[] shifted(float[] f, int from, int to, double offset) {
        for (int i = from; i < to; i++) f[i] += (float) offset;
        return f;
    }
}
