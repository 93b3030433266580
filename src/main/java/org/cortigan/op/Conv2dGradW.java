// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Gradient of {@link Conv2d} by its (scaled) weight: inputs x and dY; output of the shape {@code of}, f32. */
public record Conv2dGradW(Shape of, int strideH, int strideW, int padH, int padW) implements Op {
    @Override
    public String name() {
        return "conv2d_grad_w";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        return List.of(new Type(org.cortigan.graph.DType.F32, of));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, Conv2d.flops(n.input(1).shape(), of));
    }

    @Override
    public String kernel() {
        return "conv2d_grad_w";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.state().in(0).in(1).out(0).scratch();
        Conv2d.shape(
                w,
                n.input(0).shape(),
                of,
                strideH,
                strideW,
                padH,
                padW,
                n.input(0).dtype());
    }
}
