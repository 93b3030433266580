// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gradient of {@link Conv2d} by x, without its scale: inputs dY and w; output of the shape {@code of}, in dY's type.
 */
public record Conv2dGradX(Shape of, int strideH, int strideW, int padH, int padW) implements Op {
    @Override
    public String name() {
        return "conv2d_grad_x";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        return List.of(new Type(in.get(0).dtype(), of));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, Conv2d.flops(n.input(0).shape(), n.input(1).shape()));
    }

    @Override
    public String kernel() {
        return "conv2d_grad_x";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.state().in(0).in(1).out(0).scratch();
        Conv2d.shape(
                w,
                of,
                n.input(1).shape(),
                strideH,
                strideW,
                padH,
                padW,
                n.input(0).dtype());
    }
}
