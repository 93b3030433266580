package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradient of {@link SpectralNorm} for any number of weights. Inputs for each: G (the gradient of W/sigma), W, u, v,
 * 1/sigma; output for each: dW.
 */
public record SpectralNormGrad() implements Op {
    @Override
    public String name() {
        return "spectral_norm_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(!in.isEmpty() && in.size() % 5 == 0, this, in, "takes G, W, u, v and 1/sigma for each");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 5) {
            Op.require(in.get(i).type().equals(in.get(i + 1).type()), this, in, "G and W must be alike");
            out.add(in.get(i + 1).type());
        }
        return out;
    }

    @Override
    public Cost cost(Node n) {
        double elements = 0;
        for (Value v : n.outputs()) elements += v.shape().elements();
        return Op.cost(n, 5 * elements);
    }

    @Override
    public String kernel() {
        return "spectral_norm_grad";
    }

    @Override
    public int inPlace(Node n, int output) {
        return 5 * output;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.scratch();
        w.rows(n.outputs().size(), i -> {
            for (int k = 0; k < 5; k++) w.in(5 * i + k);
            w.out(i).i64(n.input(5 * i + 2).dim(0)).i64(n.input(5 * i + 3).dim(0));
        });
    }
}
