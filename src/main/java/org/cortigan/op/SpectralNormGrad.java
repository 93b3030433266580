package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link SpectralNorm} for one weight. Inputs G (the gradient of W/sigma), W, u, v, 1/sigma; output dW. */
public record SpectralNormGrad() implements Op {
    @Override
    public String name() {
        return "spectral_norm_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).type().equals(in.get(1).type()), this, in, "G and W must be alike");
        return List.of(in.get(1).type());
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 5.0 * n.input(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "spectral_norm_grad";
    }

    @Override
    public int inPlace(Node n, int output) {
        return 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in(0).in(1).in(2).in(3).in(4).out(0).scratch();
        w.i64(n.input(2).dim(0)).i64(n.input(3).dim(0));
    }
}
