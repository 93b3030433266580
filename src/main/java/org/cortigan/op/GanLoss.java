// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Adversarial losses of G groups of logits, fused with their gradient. Formulas and sources:
 * kernels/gan_loss/gan_loss.h.
 *
 * <p>Inputs: logits, and a weight f32[1]. The logits are one flat value that holds the groups [R, m_g] one after
 * another; a single group may have any shape. For the discriminator, the first half of a group's rows belongs to real
 * responses, the second half to generated ones.
 *
 * <p>Outputs: total [1] = weight * sum_g w_g loss_g; loss, mean logit of real responses, mean logit of generated
 * responses ([G] each, all f32); gradient of the total with respect to the logits. Only the total is differentiable.
 *
 * @param kind loss function
 * @param side network whose loss is computed
 * @param groups m_g and w_g; empty for one group of all logits with weight 1
 */
public record GanLoss(Kind kind, Side side, List<Group> groups) implements Op {
    /**
     * A group of logits.
     *
     * @param logits m_g, logits per row
     * @param weight w_g in the total
     */
    public record Group(int logits, double weight) {}

    /** One group of all logits with weight 1. */
    public GanLoss(Kind kind, Side side) {
        this(kind, side, List.of());
    }

    /** Least squares, binary cross-entropy of logits, or hinge. */
    public enum Kind {
        LSGAN,
        BCE,
        HINGE
    }

    /** The network that the loss trains. */
    public enum Side {
        DISCRIMINATOR,
        GENERATOR
    }

    @Override
    public String name() {
        return "gan_loss";
    }

    private int halves() {
        return side == Side.DISCRIMINATOR ? 2 : 1;
    }

    private long width() {
        return groups.stream().mapToLong(Group::logits).sum();
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(x.dtype().isFloat(), this, in, "logits must be floating-point");
        int unit = Math.toIntExact(halves() * (groups.isEmpty() ? 1 : width()));
        Op.require(
                (groups.isEmpty() ? x.dim(0) : x.shape().elements()) % unit == 0,
                this,
                in,
                "logits must be whole rows of all groups; the discriminator takes as many generated rows as real");
        Op.require(groups.size() < 2 || x.shape().rank() == 1, this, in, "the logits of several groups must be flat");
        Op.require(in.get(1).type().equals(Type.of(DType.F32, 1)), this, in, "the weight must be f32[1]");
        Type one = Type.of(DType.F32, 1), each = Type.of(DType.F32, Math.max(1, groups.size()));
        return List.of(one, each, each, each, x.type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (dOut.get(0) == null
                || dOut.get(1) != null
                || dOut.get(2) != null
                || dOut.get(3) != null
                || dOut.get(4) != null)
            throw new UnsupportedOperationException("gan_loss: only the total has a gradient");
        return Arrays.asList(Ops.chain(n.output(4), dOut.get(0)), null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, (kind == Kind.BCE ? 40.0 : 10.0) * n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("weight", 1);
        w.out("total", 0)
                .out("loss", 1)
                .out("real", 2)
                .out("fake", 3)
                .out("dX", 4)
                .scratch("scratch");
        w.choice("kind", kind).choice("side", side);
        long all = n.input(0).shape().elements();
        long[] at = {0};
        w.rows("rows", "n", Math.max(1, groups.size()), g -> {
            long logits = groups.isEmpty() ? all : all / width() * groups.get(g).logits;
            w.i64("off", at[0]).i64("n", logits / halves()).f64("w", groups.isEmpty() ? 1 : groups.get(g).weight);
            at[0] += logits;
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Kind k : Kind.values())
            for (Side s : Side.values()) {
                c.add(of(k, s, 2, 1));
                c.add(of(k, s, 6, 5));
                c.add(of(k, s, 4, 1009));
                c.add(of(k, s, 2, 39548).noGradient());
                c.add(of(k, s, 2, 1, 1, 2));
                c.add(of(k, s, 6, 1, 17, 3, 1009));
            }
        c.add(of(Kind.LSGAN, Side.DISCRIMINATOR, 128, GatherGroups.REGIONS).benchmark());
        c.add(of(Kind.BCE, Side.DISCRIMINATOR, 128, 39548).benchmark());
        return c;
    }

    private static OpCase of(Kind k, Side s, int rows, int n) {
        return OpCase.of(
                        "gan_loss " + k + " " + s + " " + rows + "x" + n, Math.min(rows * n, 1024 * 16) / 2 + 16, g -> {
                            Node l = g.graph().apply(new GanLoss(k, s), g.normal(rows, n), g.scalar(0.7));
                            return List.of(l.output(0));
                        })
                .roundings(2)
                .scaled(1);
    }

    private static OpCase of(Kind k, Side s, int rows, int... logits) {
        int n = Arrays.stream(logits).sum();
        String name = "gan_loss " + k + " " + s + " " + rows + " of "
                + (logits.length < 8 ? Arrays.toString(logits) : logits.length);
        return OpCase.of(name, rows * n / 2 + 16, g -> {
                    List<Group> groups = new ArrayList<>();
                    for (int i = 0; i < logits.length; i++) groups.add(new Group(logits[i], 0.3 + 0.2 * i));
                    return List.of(g.graph()
                            .apply(new GanLoss(k, s, groups), g.normal(rows * n), g.scalar(0.7))
                            .output(0));
                })
                .roundings(2)
                .scaled(1);
    }
}
