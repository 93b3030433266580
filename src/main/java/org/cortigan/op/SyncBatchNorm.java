// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Batch normalisation over the images of several ranks, each of which has as many, followed by a leaky ReLU: the
 * {@link ChannelNorm} of all of them. Formulas: kernels/channel_norm.
 *
 * <p>Inputs: x [..., C] of this rank, gamma [C], beta [C], and the {@link Sums} of x over all ranks, f64 [2, C].
 * Outputs: y; mean and rstd [C]. Back-propagation passes to x, gamma and beta, through the statistics too.
 *
 * @param slope of the leaky ReLU below zero
 */
public record SyncBatchNorm(int ranks, double eps, double slope) implements Op {
    /** The node for x: its outputs are y, mean and rstd. */
    public static Node of(Value x, Value gamma, Value beta, int ranks, double eps, double slope) {
        Value sums = AllReduce.sum(x.graph().apply(new Sums(), x).output(0));
        return x.graph().apply(new SyncBatchNorm(ranks, eps, slope), x, gamma, beta, sums);
    }

    private static long rows(Value x) {
        return x.shape().elements() / x.dim(-1);
    }

    private static Type sumsOf(Value x) {
        return Type.of(DType.F64, 2, x.dim(-1));
    }

    @Override
    public String name() {
        return "channel_norm_given";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type p = Type.of(DType.F32, in.get(0).dim(-1));
        Op.require(
                in.get(0).dtype().isFloat()
                        && in.get(1).type().equals(p)
                        && in.get(2).type().equals(p)
                        && in.get(3).type().equals(sumsOf(in.get(0))),
                this,
                in,
                "takes x, gamma and beta " + p + " and sums " + sumsOf(in.get(0)));
        return List.of(in.get(0).type(), p, p);
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value dY = dOut.get(0);
        if (dY == null) throw new UnsupportedOperationException("channel_norm_given: its statistics have no gradient");
        List<Value> in = List.of(dY, n.input(0), n.input(1), n.input(2), n.output(1), n.output(2));
        Node sums = n.graph().apply(new GradSums(slope), in);
        Value all = AllReduce.sum(sums.output(0));
        Value dX = n.graph()
                .apply(
                        new GradGiven(ranks, slope),
                        dY,
                        n.input(0),
                        n.input(1),
                        n.input(2),
                        n.output(1),
                        n.output(2),
                        all)
                .output(0);
        return Arrays.asList(dX, sums.output(1), sums.output(2), null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 5.0 * n.input(0).shape().elements());
    }

    @Override
    public boolean cheap(int output) {
        return output == 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("gamma", 1).in("beta", 2).in("sums", 3);
        w.out("y", 0).out("mean", 1).out("rstd", 2);
        form(n.input(0), w)
                .i64("count", ranks * rows(n.input(0)))
                .f64("eps", eps)
                .f64("slope", slope);
    }

    private static ArgWriter form(Value x, ArgWriter w) {
        return w.i64("S", rows(x)).i64("C", x.dim(-1));
    }

    /** Sums of x and of its squares in each channel: f64 [2, C] from x [..., C]. */
    record Sums() implements Op.NoGradient {
        @Override
        public String name() {
            return "channel_sums";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(sumsOf(in.get(0)));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 4.0 * n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            form(n.input(0), w.in("x", 0).out("sums", 0).scratch("scratch"));
        }
    }

    /**
     * Inputs: dY, x, gamma, beta, mean, rstd. Outputs: the sums of this rank that dX needs, f64 [2, C]; dGamma and
     * dBeta of this rank.
     */
    record GradSums(double slope) implements Op.Gradient {
        @Override
        public String name() {
            return "channel_grad_sums";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Type p = Type.of(DType.F32, in.get(1).dim(-1));
            return List.of(sumsOf(in.get(1)), p, p);
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 7.0 * n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            inputs(w).out("sums", 0).out("dGamma", 1).out("dBeta", 2).scratch("scratch");
            form(n.input(1), w).f64("slope", slope);
        }
    }

    /** Inputs: those of {@link GradSums}, and the sums of all ranks. Output: dX. */
    record GradGiven(int ranks, double slope) implements Op.Gradient {
        @Override
        public String name() {
            return "channel_grad_given";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(in.get(1).type());
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 7.0 * n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            inputs(w).in("sums", 6).out("dX", 0).scratch("scratch");
            form(n.input(1), w).i64("count", ranks * rows(n.input(1))).f64("slope", slope);
        }
    }

    private static ArgWriter inputs(ArgWriter w) {
        return w.in("dY", 0)
                .in("x", 1)
                .in("gamma", 2)
                .in("beta", 3)
                .in("mean", 4)
                .in("rstd", 5);
    }

    /** Without ranks: each case gives the sums of one rank to a norm of one rank. */
    public static List<OpCase> cases() {
        return List.of(of(2, 5, 6), of(3, 7, 15), of(2, 37, 33), of(3, 1031, 24), of(1, 40, 300));
    }

    private static OpCase of(int images, int pixels, int c) {
        return OpCase.of("sync_batch_norm " + images + "x" + pixels + "x" + c, 4L * images * pixels + 32, g -> {
                    Value x = g.normal(images, pixels, c), dY = g.normal(images, pixels, c);
                    Value gamma = g.normal(DType.F32, c), beta = g.normal(DType.F32, c);
                    Value sums = g.graph().apply(new Sums(), x).output(0);
                    Node n = g.graph().apply(new SyncBatchNorm(1, 1e-5, 0.2), x, gamma, beta, sums);
                    List<Value> in = List.of(dY, x, gamma, beta, n.output(1), n.output(2));
                    Node grad = g.graph().apply(new GradSums(0.2), in);
                    Value dX = g.graph()
                            .apply(new GradGiven(1, 0.2), dY, x, gamma, beta, n.output(1), n.output(2), grad.output(0))
                            .output(0);
                    return List.of(n.output(0), dX, grad.output(1), grad.output(2));
                })
                .noGradient();
    }
}
