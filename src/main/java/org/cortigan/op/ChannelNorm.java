// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Normalisation of groups of neighbouring channels, followed by a leaky ReLU. Formulas: kernels/channel_norm.
 *
 * <p>Inputs: x [B, ..., C] with channels innermost, gamma [C], beta [C]. Outputs: y of x's type and shape; mean and
 * rstd [n * groups], where n = 1 if {@code batch}, else B. Statistics and parameters are f32. Back-propagation does not
 * pass through the outputs mean and rstd.
 *
 * <p>GroupNorm (Wu and He 2018): {@code batch} false. BatchNorm in training (Ioffe and Szegedy 2015): {@code batch}
 * true and as many groups as channels.
 *
 * @param batch whether the statistics are also taken over the batch
 * @param slope of the leaky ReLU below zero; 1 for none
 */
public record ChannelNorm(int groups, boolean batch, double eps, double slope) implements Op {
    @Override
    public String name() {
        return "channel_norm";
    }

    /** Number of sets of statistics: 1 if {@code batch}, else the number of images. */
    private static int sets(Value x, boolean batch) {
        return batch ? 1 : x.dim(0);
    }

    /** Writes the extents N, S, C, G of the kernels. */
    static void extents(ArgWriter w, Value x, boolean batch, int groups) {
        int c = x.dim(-1);
        w.i64("N", sets(x, batch))
                .i64("S", x.shape().elements() / c / sets(x, batch))
                .i64("C", c)
                .i64("G", groups);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        int c = x.dim(-1);
        Type p = Type.of(DType.F32, c);
        Op.require(x.shape().rank() >= 2 && x.dtype().isFloat(), this, in, "x must be [B, ..., C] and floating-point");
        Op.require(groups >= 1 && c % groups == 0, this, in, groups + " groups must divide " + c + " channels");
        Op.require(in.get(1).type().equals(p) && in.get(2).type().equals(p), this, in, "gamma and beta must be " + p);
        Type stat = new Type(DType.F32, Shape.of(Math.multiplyExact(sets(x, batch), groups)));
        return List.of(x.type(), stat, stat);
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value dY = dOut.get(0);
        if (dY == null) throw new UnsupportedOperationException("channel_norm: its statistics have no gradient");
        return n.graph()
                .apply(new Grad(groups, batch, slope), dY, n.input(0), n.input(1), n.input(2), n.output(1), n.output(2))
                .outputs();
    }

    @Override
    public Cost cost(Node n) {
        Cost once = Op.cost(n, 8.0 * n.input(0).shape().elements());
        return new Cost(once.flops(), once.bytesRead() + Op.bytes(n.input(0)), once.bytesWritten());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("gamma", 1).in("beta", 2);
        w.out("y", 0).out("mean", 1).out("rstd", 2).scratch("scratch");
        extents(w, n.input(0), batch, groups);
        w.f64("eps", eps).f64("slope", slope);
    }

    /** Gradient of {@link ChannelNorm}. Inputs: dY, x, gamma, beta, mean, rstd. Outputs: dX, dGamma, dBeta. */
    record Grad(int groups, boolean batch, double slope) implements Op.Gradient {
        @Override
        public String name() {
            return "channel_norm_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    in.get(0).type().equals(in.get(1).type()), this, in, "dY and x must have the same type and shape");
            Type p = Type.of(DType.F32, in.get(1).dim(-1));
            return List.of(in.get(1).type(), p, p);
        }

        @Override
        public Cost cost(Node n) {
            Cost once = Op.cost(n, 18.0 * n.input(0).shape().elements());
            return new Cost(once.flops(), once.bytesRead() + 2 * Op.bytes(n.input(0)), once.bytesWritten());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("dY", 0).in("x", 1).in("gamma", 2).in("beta", 3).in("mean", 4).in("rstd", 5);
            w.out("dX", 0).out("dGamma", 1).out("dBeta", 2).scratch("scratch");
            extents(w, n.input(1), batch, groups);
            w.f64("slope", slope);
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.addAll(groupAndBatch(1, 1, 1, 1));
        c.addAll(groupAndBatch(1, 2, 1, 1));
        c.addAll(groupAndBatch(2, 5, 6, 3));
        c.addAll(groupAndBatch(3, 7, 15, 5));
        c.addAll(groupAndBatch(2, 37, 33, 1));
        c.addAll(groupAndBatch(1, 131, 20, 4));
        c.addAll(groupAndBatch(4, 64, 32, 8));
        c.addAll(groupAndBatch(3, 1031, 24, 2));
        c.addAll(groupAndBatch(1, 39548, 2, 1));
        c.add(of(8, 112 * 112, 64, 8, false, 0.2).benchmark());
        c.add(of(8, 112 * 112, 64, 64, true, 0.2).benchmark());
        c.add(of(8, 14 * 14, 512, 32, false, 0.2).benchmark());
        return c;
    }

    /** GroupNorm with the given number of groups, and BatchNorm. */
    private static List<OpCase> groupAndBatch(int images, int pixels, int channels, int groups) {
        double slope = pixels % 2 == 0 ? 1 : 0.2;
        List<OpCase> c = new ArrayList<>();
        for (OpCase o : List.of(
                of(images, pixels, channels, groups, false, slope),
                of(images, pixels, channels, channels, true, slope))) {
            // One element: the variance is 0, and rstd = 1/sqrt(eps) = 316 multiplies terms that cancel.
            // Two elements: y is the sign of their difference, and the terms of dX, rstd gamma dY, cancel; with
            // these inputs they are below 1.
            OpCase scaled = images * pixels <= 2 ? o.scaled(pixels == 1 ? 316 : 1) : o;
            c.add(pixels > 1000 || pixels == 1 ? scaled.noGradient() : scaled);
        }
        return c;
    }

    private static OpCase of(int images, int pixels, int channels, int groups, boolean batch, double slope) {
        String name = "channel_norm " + images + "x" + pixels + "x" + channels + " groups " + groups
                + (batch ? " batch" : "") + (slope == 1 ? "" : " leaky");
        long terms = (long) (batch ? images : 1) * pixels * channels / groups + 8;
        return OpCase.of(name, terms, g -> {
            Value x = g.normal(images, pixels, channels);
            Value ga = g.normal(DType.F32, channels), be = g.normal(DType.F32, channels);
            return List.of(g.graph()
                    .apply(new ChannelNorm(groups, batch, 1e-5, slope), x, ga, be)
                    .output(0));
        });
    }
}
