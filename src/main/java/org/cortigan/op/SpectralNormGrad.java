// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradient of {@link SpectralNorm} for any number of weights: dW = (G - lambda u v^T) / sigma. Inputs for each: G (the
 * gradient of W/sigma), u, v, 1/sigma and lambda ({@link SpectralNormLambda}); output for each: dW. Updates do without
 * dW: they take {@link #unmade} gradients.
 */
public record SpectralNormGrad() implements Op {
    /** Inputs for each weight. */
    static final int PARTS = 5;

    @Override
    public String name() {
        return "spectral_norm_grad";
    }

    /**
     * For each gradient what it is made of: this op's five inputs, where this op made it, else itself. One node gives
     * all lambdas.
     */
    public static List<List<Value>> unmade(List<Value> gradients) {
        List<Value> in = new ArrayList<>();
        List<List<Value>> parts = new ArrayList<>();
        for (Value g : gradients) {
            if (!(g.node().op() instanceof SpectralNormGrad)) {
                parts.add(List.of(g));
                continue;
            }
            List<Value> of = new ArrayList<>(g.node().inputs().subList(PARTS * g.index(), PARTS * (g.index() + 1)));
            Value lambda = of.remove(PARTS - 1);
            in.addAll(lambda.node().inputs().subList(3 * lambda.index(), 3 * lambda.index() + 3));
            parts.add(of);
        }
        if (in.isEmpty()) return parts;
        List<Value> lambdas =
                in.get(0).graph().apply(new SpectralNormLambda(), in).outputs();
        int k = 0;
        for (List<Value> of : parts) if (of.size() > 1) of.add(lambdas.get(k++));
        return parts;
    }

    /** Checks the parts after G of a gradient that is not made. */
    static void requireParts(Operation op, List<Value> in, Value g, int u) {
        Op.require(
                in.get(u).shape().elements() * in.get(u + 1).shape().elements()
                                == g.shape().elements()
                        && in.get(u + 2).shape().elements() == 1
                        && in.get(u + 3).shape().elements() == 1
                        && in.subList(u, u + 4).stream().allMatch(x -> x.dtype() == DType.F32),
                op,
                in,
                "u, v, 1/sigma and lambda do not fit " + g);
    }

    /**
     * Writes the members of struct Gradient (native/include/cg/gradient.h): G, and from input u on, if u >= 0, the
     * other parts.
     */
    static void writeParts(Node n, ArgWriter w, int g, int u) {
        w.in(g);
        for (int k = 0; k < 4; k++) w.inOrNone(u < 0 ? -1 : u + k);
        w.i64(n.input(g).shape().elements())
                .i64(n.input(u < 0 ? g : u + 1).shape().elements());
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(!in.isEmpty() && in.size() % PARTS == 0, this, in, "takes G, u, v, 1/sigma and lambda for each");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += PARTS) {
            requireParts(this, in, in.get(i), i + 1);
            out.add(in.get(i).type());
        }
        return out;
    }

    @Override
    public Cost cost(Node n) {
        double elements = 0;
        for (Value v : n.outputs()) elements += v.shape().elements();
        return Op.cost(n, 3 * elements);
    }

    @Override
    public String kernel() {
        return "spectral_norm_grad";
    }

    @Override
    public int inPlace(Node n, int output) {
        return PARTS * output;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.rows(n.outputs().size(), i -> {
            writeParts(n, w, PARTS * i, PARTS * i + 1);
            w.out(i);
        });
    }
}
