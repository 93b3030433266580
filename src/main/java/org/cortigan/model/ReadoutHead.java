// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.Activation;
import org.cortigan.op.LayerChoice;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;
import org.cortigan.op.Readout;

/** How features become the response of each vertex. */
public enum ReadoutHead {
    /** A weight for each feature: one linear layer. */
    DENSE {
        @Override
        Value read(Weights w, Features f, Value weight, Value bias) {
            return Ops.matmul(f.value(), weight, false, true, bias, null, w.compute());
        }
    },
    /**
     * What and where, factorised (Klindt et al. 2017): a spatial mask and a weight for each feature, for each vertex.
     */
    FACTORISED {
        @Override
        Value read(Weights w, Features f, Value weight, Value bias) {
            Value x = f.value();
            int b = x.dim(0), l = f.layers(), c = f.channels(), points = f.height() * f.width(), v = weight.dim(0);
            // every vertex starts with the mean of the map
            Value mask = Ops.cast(w.matrix("mask", new Init(Init.Kind.CONSTANT, 1.0 / points), v, points), w.compute());
            Value at = Ops.swapLeading(Ops.reshape(x, b * l, points, c)); // [P, B L, C]
            Value seen = Ops.matmul(mask, Ops.reshape(at, points, b * l * c), false, false, null, null, w.compute());
            return x.graph()
                    .apply(new Readout(), Ops.reshape(seen, v, b, l * c), weight, bias)
                    .output(0);
        }
    },
    /**
     * A learned point of the map for each vertex, read bilinearly (Lurz et al. 2021), and a weight for each feature:
     * the point is the vertex's retinotopic position.
     */
    POSITION {
        @Override
        Value read(Weights w, Features f, Value weight, Value bias) {
            Value raw = w.vector("position", new Init(Init.Kind.UNIFORM, 0.5), weight.dim(0), 2);
            Value at = Ops.activation(raw, Activation.Kind.TANH, 0);
            return f.value()
                    .graph()
                    .apply(new PositionReadout(), f.value(), at, weight, bias)
                    .output(0);
        }
    };

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
        DType compute = w.compute();
        int l = f.layers(), c = f.channels();
        Value weight = this == DENSE && l == 1
                ? w.weight("weight", Init.VIT, vertices, c).value()
                : w.matrix("weight", Init.VIT, vertices, c);
        Value bias = w.vector("bias", Init.ZEROS, vertices);
        weight = l > 1
                ? f.value()
                        .graph()
                        .apply(new LayerChoice(compute), w.vector("layers", Init.ZEROS, vertices, l), weight)
                        .output(0)
                : Ops.cast(weight, compute);
        return read(w, f, weight, bias);
    }

    /** Responses from features and the weights [V, L C] and bias [V] in force. */
    abstract Value read(Weights w, Features f, Value weight, Value bias);
}
