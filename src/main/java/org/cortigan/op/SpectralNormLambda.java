// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * What the gradient of {@link SpectralNorm} needs to know of a whole weight, for any number of weights. Inputs for
 * each: G (the gradient of W/sigma), W and 1/sigma; output for each: lambda = &lt;G, W&gt; / sigma, f32[1].
 */
public record SpectralNormLambda() implements Op {
    @Override
    public String name() {
        return "spectral_norm_lambda";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(!in.isEmpty() && in.size() % 3 == 0, this, in, "takes G, W and 1/sigma for each");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 3) {
            Op.require(in.get(i).type().equals(in.get(i + 1).type()), this, in, "G and W must be alike");
            out.add(Type.of(DType.F32, 1));
        }
        return out;
    }

    @Override
    public Cost cost(Node n) {
        double elements = 0;
        for (int i = 0; i < n.inputs().size(); i += 3)
            elements += n.input(i).shape().elements();
        return Op.cost(n, 2 * elements);
    }

    @Override
    public String kernel() {
        return "spectral_norm_lambda";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.scratch();
        w.rows(n.outputs().size(), i -> {
            for (int k = 0; k < 3; k++) w.in(3 * i + k);
            w.out(i).i64(n.input(3 * i).shape().elements());
        });
    }
}
