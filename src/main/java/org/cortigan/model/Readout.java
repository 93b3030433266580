// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Activation;
import org.cortigan.op.LayerChoice;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;

/** How features become the response of each vertex. */
public enum Readout {
    /** A weight for each feature: one linear layer. */
    DENSE,
    /**
     * What and where, factorised (Klindt et al. 2017): a spatial mask and a weight for each feature, for each vertex.
     */
    FACTORISED,
    /**
     * A learned point of the map for each vertex, read bilinearly (Lurz et al. 2021), and a weight for each feature:
     * the point is the vertex's retinotopic position.
     */
    POSITION;

    /** Whether it reads maps; vectors otherwise. */
    public boolean spatial() {
        return this != DENSE;
    }

    /**
     * Responses [B, V] in the compute type. Where the features are of several layers, each vertex chooses among them by
     * a softmax of its own and has one weight for each feature.
     *
     * @param w parameters of the head: {@code weight} [V, C], {@code bias} [V], {@code layers} [V, L] if L > 1, and
     *     {@code mask} [V, H W] or {@code position} [V, 2] (arctanh of x and y in -1..1)
     */
    Value apply(Weights w, Features f, int vertices) {
        Value x = f.value();
        DType compute = w.compute();
        int b = x.dim(0), l = f.layers(), c = f.channels();
        Value weight = this == DENSE && l == 1
                ? w.weight("weight", Init.VIT, vertices, c).value()
                : w.matrix("weight", Init.VIT, vertices, c);
        Value bias = w.vector("bias", Init.ZEROS, vertices);
        weight = l > 1
                ? x.graph()
                        .apply(new LayerChoice(compute), w.vector("layers", Init.ZEROS, vertices, l), weight)
                        .output(0)
                : Ops.cast(weight, compute);
        switch (this) {
            case DENSE -> {
                return Ops.matmul(x, weight, false, true, bias, null, compute);
            }
            case FACTORISED -> {
                int points = f.height() * f.width();
                // every vertex starts with the mean of the map
                Value mask = Ops.cast(
                        w.matrix("mask", new Init(Init.Kind.CONSTANT, 1.0 / points), vertices, points), compute);
                Value at = Ops.swapLeading(Ops.reshape(x, b * l, points, c)); // [P, B L, C]
                Value seen = Ops.matmul(mask, Ops.reshape(at, points, b * l * c), false, false, null, null, compute);
                seen = Ops.reshape(seen, vertices, b, l * c);
                return x.graph()
                        .apply(new org.cortigan.op.Readout(), seen, weight, bias)
                        .output(0);
            }
            case POSITION -> {
                Value raw = w.vector("position", new Init(Init.Kind.UNIFORM, 0.5), vertices, 2);
                Value at = Ops.activation(raw, Activation.Kind.TANH, 0);
                return x.graph()
                        .apply(new PositionReadout(), x, at, weight, bias)
                        .output(0);
            }
            default -> throw new IllegalStateException(name());
        }
    }

    /** Features of a photograph for {@link #DENSE} from a map [B, H, W, C]: flattened, one hidden layer. */
    static Value flatten(Weights w, Value map, int hidden) {
        Value x = Ops.reshape(map, map.dim(0), Math.toIntExact(map.shape().elements(1, 4)));
        return Layers.leakyRelu(Layers.linear(w, x, hidden));
    }
}
