// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Weighted sum of a pixel loss and a correlation loss, fused with its gradient. Inputs: prediction [B, V], target f32
 * [B, V] and the two weights f32[2]. Outputs: total, pixel, corr (f32[1] each), and the gradient of the total with
 * respect to the prediction. Only the total is differentiable. Formulas: kernels/pearson_loss/pearson_loss.h.
 *
 * <p>Over the images of several ranks, with axis IMAGES, a fourth input f64 [5, V] holds the {@link Sums} of all ranks.
 * The correlation loss is then that of all images, the pixel loss that of the rank's, and the gradient that of the
 * total times the number of ranks: its mean over the ranks is the gradient.
 *
 * @param pixel pixel loss, a mean over all elements
 * @param axis axis along which r is computed: IMAGES gives one r per vertex, as the metric does; VERTICES one per image
 * @param eps times the target's variance, at most 1, is added to both sums of squares in r, so that a constant
 *     prediction has a bounded gradient and a target of small variance an undamped r; 0 adds nothing
 * @param ranks of the fourth input; 1 if there is none
 */
public record PearsonLoss(Pixel pixel, Axis axis, double eps, int ranks) implements Op {
    /** The place of the sums among the inputs. */
    private static final int SUMS = 3;

    /** Of the images of one rank. */
    public PearsonLoss(Pixel pixel, Axis axis, double eps) {
        this(pixel, axis, eps, 1);
    }

    /** Loss of one element: absolute error, squared error, or smooth L1 with beta 1. */
    public enum Pixel {
        L1,
        MSE,
        SMOOTH_L1
    }

    /** The axis along which r is computed. */
    public enum Axis {
        IMAGES,
        VERTICES
    }

    @Override
    public String name() {
        return "pearson_loss";
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
        Op.require(in.get(2).type().equals(Type.of(DType.F32, 2)), this, in, "the weights must be f32[2]");
        if (in.size() > SUMS)
            Op.require(
                    axis == Axis.IMAGES && in.get(SUMS).type().equals(Sums.type(p)),
                    this,
                    in,
                    "only r over images takes sums, f64[5, vertices]");
        else Op.require(ranks == 1, this, in, "several ranks need sums");
        Type one = Type.of(DType.F32, 1);
        return List.of(one, one, one, p.type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (dOut.get(0) == null || dOut.get(1) != null || dOut.get(2) != null || dOut.get(3) != null)
            throw new UnsupportedOperationException("pearson_loss: only the total has a gradient");
        List<@Nullable Value> d = new ArrayList<>(Collections.nCopies(n.inputs().size(), null));
        d.set(0, Ops.chain(n.output(3), dOut.get(0)));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 16.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("pred", 0).in("target", 1).in("w", 2).inOrNone("sums", n.inputs().size() > SUMS ? SUMS : -1);
        w.out("total", 0).out("pixel", 1).out("corr", 2).out("dPred", 3).scratch("scratch");
        w.i64("B", n.input(0).dim(0)).i64("V", n.input(0).dim(1));
        w.i64("images", (long) ranks * n.input(0).dim(0));
        w.choice("kind", pixel).choice("axis", axis).f64("eps", eps);
    }

    /**
     * The sums of a rank, for r over the images of all ranks. Inputs: prediction [B, V]; target f32 [B, V]. Output: f64
     * [5, V], the sums of prediction, target, their squares and their product.
     */
    public record Sums() implements Op.NoGradient {
        private static final int ROWS = 5;

        private static Type type(Value prediction) {
            return Type.of(DType.F64, ROWS, prediction.dim(1));
        }

        @Override
        public String name() {
            return "pearson_sums";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Value p = in.get(0);
            Op.require(
                    p.shape().rank() == 2
                            && p.dtype().isFloat()
                            && in.get(1).type().equals(new Type(DType.F32, p.shape())),
                    this,
                    in,
                    "prediction and target must be [images, vertices], and the target f32");
            return List.of(type(p));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 8.0 * n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("pred", 0).in("target", 1).out("sums", 0);
            w.i64("B", n.input(0).dim(0)).i64("V", n.input(0).dim(1));
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Axis a : Axis.values()) {
            for (Pixel k : Pixel.values()) {
                c.add(of(2, 3, k, a, 1e-4));
                c.add(of(7, 5, k, a, 1e-4));
                c.add(of(5, 33, k, a, 1e-4));
                c.add(of(13, 101, k, a, 1e-4));
                c.add(of(70, 44, k, a, 1e-4));
                c.add(of(130, 12, k, a, 1e-4));
            }
            c.add(of(6, 9, Pixel.L1, a, 0));
            c.add(of(13, 101, Pixel.L1, a, 1e-4, "small target", r -> times(1e-3f, CaseInputs.gaussian(r, 13 * 101))));
            c.add(of(13, 101, Pixel.L1, a, 1e-2, "large target", r -> times(10, CaseInputs.gaussian(r, 13 * 101))));
            c.add(of(9, 14, Pixel.L1, a, 1e-4, "constant target", r -> {
                float[] t = new float[9 * 14];
                Arrays.fill(t, 0.3f);
                return t;
            }));
            c.add(of(8, 39548, Pixel.L1, a, 1e-6).noGradient());
            c.add(of(700, 3, Pixel.L1, a, 1e-4).noGradient());
            c.add(of(64, 39548, Pixel.L1, a, 1e-6).benchmark());
        }
        for (double offset : new double[] {0, 1000}) {
            c.add(sums(1, 1, offset));
            c.add(sums(7, 5, offset));
            c.add(sums(70, 1031, offset));
        }
        for (Pixel k : Pixel.values()) {
            c.add(given(7, 5, k));
            c.add(given(13, 101, k));
            c.add(given(130, 12, k));
        }
        return c;
    }

    /** The sums of a rank of two, at an offset; the compared values are f32, all sums are double. */
    private static OpCase sums(int b, int v, double offset) {
        return OpCase.of("pearson_sums " + b + "x" + v + " at " + offset, 0, s -> {
                    Function<SplittableRandom, float[]> data = r -> shifted(CaseInputs.gaussian(r, b * v), offset);
                    Value p = s.filled(s.compute(), data, b, v), t = s.filled(DType.F32, data, b, v);
                    return List.of(s.graph().apply(new Sums(), p, t).output(0));
                })
                .roundings(0)
                .noGradient();
    }

    /** The loss by given sums: those of this rank, twice, as if a second rank had the same images. */
    private static OpCase given(int b, int v, Pixel k) {
        return OpCase.of("pearson_loss " + b + "x" + v + " " + k + " of two ranks", 4L * b + 16, s -> {
                    Value p = s.normal(b, v), t = s.filled(DType.F32, r -> CaseInputs.gaussian(r, b * v), b, v);
                    Value w = s.filled(DType.F32, r -> new float[] {0.7f, 1.3f}, 2);
                    Value sums = s.graph().apply(new Sums(), p, t).output(0);
                    return List.of(s.graph()
                            .apply(new PearsonLoss(k, Axis.IMAGES, 1e-4), p, t, w, sums)
                            .output(0));
                })
                .roundings(2);
    }

    private static float[] shifted(float[] values, double offset) {
        for (int i = 0; i < values.length; i++) values[i] += (float) offset;
        return values;
    }

    private static float[] times(float factor, float[] values) {
        for (int i = 0; i < values.length; i++) values[i] *= factor;
        return values;
    }

    private static OpCase of(int b, int v, Pixel k, Axis a, double eps) {
        return of(b, v, k, a, eps, "", r -> CaseInputs.gaussian(r, b * v));
    }

    private static OpCase of(
            int b, int v, Pixel k, Axis a, double eps, String name, Function<SplittableRandom, float[]> target) {
        return OpCase.of(
                        ("pearson_loss " + b + "x" + v + " " + k + " " + a + " eps " + eps + " " + name).strip(),
                        a == Axis.IMAGES ? 4L * b + 16 : 4L * v + 16,
                        s -> {
                            Value p = s.normal(b, v);
                            Value t = s.filled(DType.F32, target, b, v);
                            Value w = s.filled(DType.F32, r -> new float[] {0.7f, 1.3f}, 2);
                            return List.of(s.graph()
                                    .apply(new PearsonLoss(k, a, eps), p, t, w)
                                    .output(0));
                        })
                .roundings(2);
    }
}
