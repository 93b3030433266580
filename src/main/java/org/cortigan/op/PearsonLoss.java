// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
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
 * @param pixel pixel loss, a mean over all elements
 * @param axis axis along which r is computed: IMAGES gives one r per vertex, as the metric does; VERTICES one per image
 * @param eps times the target's variance, at most 1, is added to both sums of squares in r, so that a constant
 *     prediction has a bounded gradient and a target of small variance an undamped r; 0 adds nothing
 */
public record PearsonLoss(Pixel pixel, Axis axis, double eps) implements Op {
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
        Type one = Type.of(DType.F32, 1);
        return List.of(one, one, one, p.type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (dOut.get(0) == null || dOut.get(1) != null || dOut.get(2) != null || dOut.get(3) != null)
            throw new UnsupportedOperationException("pearson_loss: only the total has a gradient");
        return Arrays.asList(Ops.chain(n.output(3), dOut.get(0)), null, null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 16.0 * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("pred", 0).in("target", 1).in("w", 2);
        w.out("total", 0).out("pixel", 1).out("corr", 2).out("dPred", 3).scratch("scratch");
        w.i64("B", n.input(0).dim(0)).i64("V", n.input(0).dim(1));
        w.choice("kind", pixel).choice("axis", axis).f64("eps", eps);
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
        return c;
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
