package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Adversarial loss of a discriminator's logits, fused with its gradient. Inputs: logits (any shape; for the
 * discriminator the first half of axis 0 belongs to real, the second to generated responses) and a weight [1] (f32);
 * outputs: weighted total, loss, mean logit of the real and of the generated (one f32 each; only the total is
 * differentiable), gradient of the total by the logits. Formulas and sources: kernels/gan_loss/gan_loss.h.
 *
 * @param kind the loss; the order is part of the kernel ABI
 * @param side whose loss; the order is part of the kernel ABI
 */
public record GanLoss(Kind kind, Side side) implements Op {
    public enum Kind {
        LSGAN,
        BCE,
        HINGE
    }

    public enum Side {
        DISCRIMINATOR,
        GENERATOR
    }

    @Override
    public String name() {
        return "gan_loss";
    }

    private long n(Value logits) {
        return logits.shape().elements() / (side == Side.DISCRIMINATOR ? 2 : 1);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(x.dtype().isFloat(), this, in, "logits must be floating-point");
        Op.require(
                side == Side.GENERATOR || x.dim(0) % 2 == 0, this, in, "axis 0 must hold real, then as many generated");
        Op.require(in.get(1).type().equals(Type.of(DType.F32, 1)), this, in, "the weight must be f32[1]");
        Type one = Type.of(DType.F32, 1);
        return List.of(one, one, one, one, x.type());
    }

    @Override
    public List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
        if (dOut.get(0) == null || dOut.get(1) != null || dOut.get(2) != null || dOut.get(3) != null || dOut.get(4) != null)
            throw new UnsupportedOperationException("of the gan_loss only the total has a gradient");
        return Arrays.asList(Ops.chain(n.output(4), dOut.get(0)), null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, (kind == Kind.BCE ? 40.0 : 10.0) * n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "gan_loss";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).in(1).out(0).out(1).out(2).out(3).out(4).scratch();
        w.i64(n(n.input(0))).i64(kind.ordinal()).i64(side.ordinal());
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Kind k : Kind.values())
            for (Side s : Side.values()) {
                c.add(of(k, s, 2, 1));
                c.add(of(k, s, 6, 5));
                c.add(of(k, s, 4, 1009));
                c.add(of(k, s, 2, 39548).noGradient());
            }
        c.add(of(Kind.BCE, Side.DISCRIMINATOR, 128, 39548).benchmark());
        return c;
    }

    private static OpCase of(Kind k, Side s, int rows, int n) {
        return OpCase.of("gan_loss " + k + " " + s + " " + rows + "x" + n, Math.min(rows * n, 1024 * 16) / 2 + 16, g -> {
                    Node l = g.graph().apply(new GanLoss(k, s), g.normal(rows, n), g.scalar(0.7));
                    return List.of(l.output(0));
                })
                .roundings(2)
                .scaled(1);
    }
}
