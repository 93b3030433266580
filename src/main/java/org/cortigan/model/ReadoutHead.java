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

/** The last part of a generator, which turns features into the response of each vertex. */
public enum ReadoutHead {
    /** One linear layer: a weight for each feature and vertex. */
    DENSE {
        @Override
        Value read(Weights w, Features f, Value weight, Weights.Bias bias) {
            return Ops.linear(f.value(), weight, bias.value(), bias.copy(), null, w.result());
        }
    },
    /** A factorised readout (Klindt et al. 2017): each vertex has a spatial mask and a weight for each feature. */
    FACTORISED {
        @Override
        Value read(Weights w, Features f, Value weight, Weights.Bias bias) {
            Value x = f.value();
            int b = x.dim(0), l = f.layers(), c = f.channels(), points = f.height() * f.width(), v = weight.dim(0);
            // initially every vertex reads the mean of the map
            Value mask = Ops.cast(w.matrix("mask", new Init(Init.Kind.CONSTANT, 1.0 / points), v, points), w.compute());
            Value at = Ops.swapLeading(Ops.reshape(x, b * l, points, c)); // [P, B L, C]
            Value seen = Ops.matmul(mask, Ops.reshape(at, points, b * l * c), false, false, null, null, w.result());
            return x.graph()
                    .apply(new Readout(), Ops.reshape(seen, v, b, l * c), weight, bias.value())
                    .output(0);
        }
    },
    /**
     * A point readout (Lurz et al. 2021): each vertex has a learned point of the map, read bilinearly, and a weight for
     * each feature. The point models the vertex's retinotopic position.
     */
    POSITION {
        @Override
        Value read(Weights w, Features f, Value weight, Weights.Bias bias) {
            Value raw = w.vector(PLACE, new Init(Init.Kind.UNIFORM, 0.5), weight.dim(0), 2);
            Value at = Ops.activation(raw, Activation.Kind.TANH, 0);
            return at(w, false, f, at, weight, bias);
        }
    },
    /**
     * A readout of region queries (Adeli et al. 2023): one decoder layer gives each region a vector ({@link Queries}),
     * and each vertex has a weight for each feature of its region's vector.
     */
    QUERIES {
        @Override
        Value read(Weights w, Features f, Value weight, Weights.Bias bias) {
            // The middle of pixel r.
            Value region = w.state(REGION, Init.ZEROS, weight.dim(0), 1);
            Value x = Ops.scale(region, 2.0 / f.width());
            x = Ops.add(x, x.graph().constant(1.0 / f.width() - 1, DType.F32, 1));
            return at(w, true, f, Ops.pad(x, 1, 0, 1), weight, bias);
        }
    },
    /** The last layer of {@link Diffusion}: each vertex reads the cell of the grid that it lies in. */
    DIFFUSION {
        @Override
        Value read(Weights w, Features f, Value weight, Weights.Bias bias) {
            return at(w, true, f, w.state(Diffusion.CELL, Init.ZEROS, weight.dim(0), 2), weight, bias);
        }
    };

    /** Name below the generator's prefix of the readout's parameters. */
    static final String HEAD = "head";

    /** Name of the parameters of a subject's readout. */
    static String of(String subject) {
        return subject.isEmpty() ? HEAD : HEAD + "." + subject;
    }

    /** Name of the state [V, 1] that has the number of each vertex's query. Whoever trains the network sets it. */
    static final String REGION = "region";

    /** Name of the parameter [V, 2] of {@link #POSITION}. */
    static final String PLACE = "position";

    /** Name of the parameter [V, L] of the choice among L layers. */
    static final String LAYERS = "layers";

    /** What the readout reads of a backbone. */
    Features.Kind reads() {
        return switch (this) {
            case DENSE -> Features.Kind.VECTORS;
            case FACTORISED, POSITION -> Features.Kind.MAPS;
            case QUERIES, DIFFUSION -> Features.Kind.TOKENS;
        };
    }

    /** Initial weights. A denoiser begins with zeros, as diffusion models do. */
    private Init weights() {
        return this == DIFFUSION ? Init.ZEROS : Init.VIT;
    }

    /**
     * Responses [B, V] in the type of results. If the features have several layers, each vertex weighs the layers with
     * its own softmax and has one weight for each feature, shared by the layers. Products compute in the compute type,
     * all else in the type of results.
     *
     * @param w parameters of the head: {@code weight} [V, C], {@code bias} [V], {@code layers} [V, L] if L > 1, and
     *     {@code mask} [V, H W], {@code position} [V, 2] (arctanh of x and y in -1..1), or the state {@code region} [V,
     *     1] or {@code cell} [V, 2]
     */
    Value apply(Weights w, Features f, int vertices) {
        DType operand = this == DENSE ? w.compute() : w.result();
        int l = f.layers(), c = f.channels();
        Value weight = this == DENSE && l == 1
                ? w.weight("weight", weights(), vertices, c).value()
                : w.matrix("weight", weights(), vertices, c);
        Weights.Bias bias = this == DENSE
                ? w.bias("bias", Init.ZEROS, vertices)
                : new Weights.Bias(w.vector("bias", Init.ZEROS, vertices), null);
        weight = l > 1
                ? f.value()
                        .graph()
                        .apply(new LayerChoice(operand), w.vector(LAYERS, Init.ZEROS, vertices, l), weight)
                        .output(0)
                : Ops.cast(weight, operand);
        return read(w, f, weight, bias);
    }

    private static Value at(Weights w, boolean fixed, Features f, Value position, Value weight, Weights.Bias bias) {
        Value x = Ops.cast(f.value(), w.result());
        return x.graph()
                .apply(new PositionReadout(fixed), x, position, weight, bias.value())
                .output(0);
    }

    /** Responses from features and the effective weights [V, L C] and bias [V]. */
    abstract Value read(Weights w, Features f, Value weight, Weights.Bias bias);
}
