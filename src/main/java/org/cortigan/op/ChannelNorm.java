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
 * Normalisation of groups of neighbouring channels, followed by a leaky ReLU or swish. Formulas: kernels/channel_norm.
 *
 * <p>Inputs: x [B, ..., C] with channels innermost, gamma [C], beta [C] and, if {@code batch} is false, optionally a
 * shift [B, C] of x's type, which is added to x before the normalisation. Outputs: y of x's type and shape; mean and
 * rstd [n * groups], where n = 1 if {@code batch}, else B. Statistics and parameters are f32. Back-propagation does not
 * pass through the outputs mean and rstd.
 *
 * <p>GroupNorm (Wu and He 2018): {@code batch} false. BatchNorm in training (Ioffe and Szegedy 2015): {@code batch}
 * true and as many groups as channels.
 *
 * @param batch whether the statistics are also taken over the batch
 * @param activation a leaky ReLU (of slope 1 for none) or swish
 */
public record ChannelNorm(int groups, boolean batch, double eps, Activation activation) implements Op {
    /** The shift's place among the inputs. */
    private static final int SHIFT = 3;

    public ChannelNorm {
        if (activation.kind() != Activation.Kind.LEAKY_RELU && activation.kind() != Activation.Kind.SWISH)
            throw new IllegalArgumentException("channel_norm ends in leaky ReLU or swish, not " + activation.kind());
    }

    /**
     * With a leaky ReLU.
     *
     * @param slope below zero; 1 for none
     */
    public ChannelNorm(int groups, boolean batch, double eps, double slope) {
        this(groups, batch, eps, new Activation(Activation.Kind.LEAKY_RELU, slope));
    }

    @Override
    public String name() {
        return "channel_norm";
    }

    /** Number of sets of statistics: 1 if {@code batch}, else the number of images. */
    private static int sets(Value x, boolean batch) {
        return batch ? 1 : x.dim(0);
    }

    /** Writes the extents N, S, C, G of the kernels, and the activation. */
    private static void form(ArgWriter w, Value x, boolean batch, int groups, Activation activation) {
        int c = x.dim(-1);
        w.i64("N", sets(x, batch))
                .i64("S", x.shape().elements() / c / sets(x, batch))
                .i64("C", c)
                .i64("G", groups)
                .choice("kind", activation.kind())
                .f64("alpha", activation.alpha());
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        int c = x.dim(-1);
        Type p = Type.of(DType.F32, c);
        Op.require(x.shape().rank() >= 2 && x.dtype().isFloat(), this, in, "x must be [B, ..., C] and floating-point");
        Op.require(groups >= 1 && c % groups == 0, this, in, groups + " groups must divide " + c + " channels");
        Op.require(in.get(1).type().equals(p) && in.get(2).type().equals(p), this, in, "gamma and beta must be " + p);
        if (in.size() > SHIFT) {
            Type shift = Type.of(x.dtype(), x.dim(0), c);
            Op.require(
                    !batch && in.get(SHIFT).type().equals(shift),
                    this,
                    in,
                    "only a group norm takes a shift, " + shift);
        }
        Type stat = new Type(DType.F32, Shape.of(Math.multiplyExact(sets(x, batch), groups)));
        return List.of(x.type(), stat, stat);
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value dY = dOut.get(0);
        if (dY == null) throw new UnsupportedOperationException("channel_norm: its statistics have no gradient");
        List<Value> in = new ArrayList<>(List.of(dY, n.input(0), n.input(1), n.input(2), n.output(1), n.output(2)));
        if (n.inputs().size() > SHIFT) in.add(n.input(SHIFT));
        return n.graph().apply(new Grad(groups, batch, activation), in).outputs();
    }

    @Override
    public Cost cost(Node n) {
        Cost once = Op.cost(
                n,
                (6 + Activation.flops(activation.kind())) * n.input(0).shape().elements());
        return new Cost(once.flops(), once.bytesRead() + Op.bytes(n.input(0)), once.bytesWritten());
    }

    /** True for y. The statistics are kept, since the gradient reads them. */
    @Override
    public boolean cheap(int output) {
        return output == 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0)
                .inOrNone("shift", n.inputs().size() > SHIFT ? SHIFT : -1)
                .in("gamma", 1)
                .in("beta", 2);
        w.out("y", 0).out("mean", 1).out("rstd", 2).scratch("scratch").f64("eps", eps);
        form(w, n.input(0), batch, groups, activation);
    }

    /**
     * Gradient of {@link ChannelNorm}. Inputs: dY, x, gamma, beta, mean, rstd and, if x is shifted, the shift. Outputs:
     * dX, dGamma, dBeta and, if x is shifted, the shift's gradient.
     */
    record Grad(int groups, boolean batch, Activation activation) implements Op.Gradient {
        private static final int SHIFT = 6;

        @Override
        public String name() {
            return "channel_norm_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    in.get(0).type().equals(in.get(1).type()), this, in, "dY and x must have the same type and shape");
            Type p = Type.of(DType.F32, in.get(1).dim(-1));
            List<Type> out = new ArrayList<>(List.of(in.get(1).type(), p, p));
            if (in.size() > SHIFT) out.add(in.get(SHIFT).type());
            return out;
        }

        @Override
        public Cost cost(Node n) {
            double flops = 14 + 2 * Activation.flops(activation.kind());
            Cost once = Op.cost(n, flops * n.input(0).shape().elements());
            return new Cost(once.flops(), once.bytesRead() + 2 * Op.bytes(n.input(0)), once.bytesWritten());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            boolean shifted = n.inputs().size() > SHIFT;
            w.in("dY", 0).in("x", 1).inOrNone("shift", shifted ? SHIFT : -1);
            w.in("gamma", 2).in("beta", 3).in("mean", 4).in("rstd", 5);
            w.out("dX", 0).out("dGamma", 1).out("dBeta", 2).scratch("scratch");
            if (shifted) w.out("dShift", 3);
            else w.none("dShift");
            form(w, n.input(1), batch, groups, activation);
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
        // Groups of the UNet of Stable Diffusion have 10 to 80 channels, and its finest maps 4,096 pixels.
        c.add(silu(2, 6, 9, 3, false));
        c.add(silu(3, 7, 15, 5, true));
        c.add(silu(2, 33, 20, 2, true));
        c.add(silu(1, 3, 120, 2, true));
        c.add(silu(2, 12, 160, 2, true));
        c.add(silu(2, 4096, 20, 2, true).noGradient());
        c.add(of(2, 5, 12, 3, false, new Activation(Activation.Kind.LEAKY_RELU, 0.2), true, " leaky"));
        c.add(saturated());
        c.add(of(8, 112 * 112, 64, 8, false, 0.2).benchmark());
        c.add(of(8, 112 * 112, 64, 64, true, 0.2).benchmark());
        c.add(of(8, 14 * 14, 512, 32, false, 0.2).benchmark());
        c.add(silu(2, 64 * 64, 320, 32, true).benchmark());
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
        String end = slope == 1 ? "" : " leaky";
        return of(
                images, pixels, channels, groups, batch, new Activation(Activation.Kind.LEAKY_RELU, slope), false, end);
    }

    /** GroupNorm with SiLU. */
    private static OpCase silu(int images, int pixels, int channels, int groups, boolean shifted) {
        Activation silu = new Activation(Activation.Kind.SWISH, 1);
        return of(images, pixels, channels, groups, false, silu, shifted, " silu");
    }

    private static OpCase of(
            int images,
            int pixels,
            int channels,
            int groups,
            boolean batch,
            Activation activation,
            boolean shifted,
            String end) {
        String name = "channel_norm " + images + "x" + pixels + "x" + channels + " groups " + groups
                + (batch ? " batch" : "") + (shifted ? " shifted" : "") + end;
        long terms = (long) (batch ? images : 1) * pixels * channels / groups + 8;
        return OpCase.of(name, terms, g -> {
            Value x = g.normal(images, pixels, channels);
            Value ga = g.normal(DType.F32, channels), be = g.normal(DType.F32, channels);
            List<Value> in = new ArrayList<>(List.of(x, ga, be));
            if (shifted) in.add(g.normal(images, channels));
            return List.of(g.graph()
                    .apply(new ChannelNorm(groups, batch, 1e-5, activation), in)
                    .output(0));
        });
    }

    /**
     * With beta of -300 and 300, SiLU is 0 and the identity. Its exponential must not overflow to NaN. In f32, z is
     * exact to 2^-24 of 300.
     */
    private static OpCase saturated() {
        return OpCase.of("channel_norm 2x6x8 groups 2 silu saturated", 32, g -> {
            Value x = g.normal(2, 6, 8), ga = g.normal(DType.F32, 8);
            Value be = g.perturbed(DType.F32, r -> alternating(300, 8), 8);
            return List.of(g.graph()
                    .apply(new ChannelNorm(2, false, 1e-5, new Activation(Activation.Kind.SWISH, 1)), x, ga, be)
                    .output(0));
        });
    }

    private static float[] alternating(float magnitude, int n) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = i % 2 == 0 ? -magnitude : magnitude;
        return f;
    }
}
