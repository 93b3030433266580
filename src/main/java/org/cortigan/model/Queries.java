// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * Learned queries, one for each region of the cortex, and the decoder layer in which they read a backbone's tokens
 * (Adeli et al. 2023, after Carion et al. 2020): norm, cross-attention, residual, norm, MLP, residual, norm.
 *
 * @param per grouping that gives the regions, as that of discriminators
 * @param names of the regions that have a query; empty before the data are known
 * @param heads attention heads; divides the channels of the tokens
 */
public record Queries(String per, List<String> names, int heads) {
    /** Key of the recipe's section {@code model.generator} that has the names of the queries. */
    public static final String NAMES = "query_regions";

    /** Hidden width of the MLP divided by the channels. */
    private static final int MLP = 4;

    /** From the section {@code model.generator} of a recipe; empty if its readout has no queries. */
    static Optional<Queries> of(Settings s) {
        if (s.choice("readout", ReadoutHead.class) != ReadoutHead.QUERIES) return Optional.empty();
        int heads = s.integer("query_heads", 1), channels = s.integer("features", 1);
        if (channels % heads != 0)
            throw s.wrong("query_heads", heads + " do not divide features: " + channels, "Choose a divisor");
        return Optional.of(new Queries(s.text("queries"), List.copyOf(s.texts(NAMES)), heads));
    }

    /** The queries [R, C] before they read, normalised. */
    private Value normalised(Weights w, int channels) {
        return Layers.layerNorm(w.sub("norm1"), Ops.cast(embedded(w, channels), w.compute()), null, Layers.VIT_EPS)
                .output(0);
    }

    /** The learned queries [R, C] in f32. */
    private Value embedded(Weights w, int channels) {
        if (names.isEmpty())
            throw new InputException(
                    "model.generator." + NAMES,
                    "names no region: the queries' regions come from the data of a run",
                    "Use a run's checkpoint, name the regions, or choose another readout");
        return w.vector("embed", Init.VIT, names.size(), channels);
    }

    /** The projected queries [R, C]. */
    private Value projected(Weights w, int channels) {
        return Layers.linear(w.sub("q"), normalised(w, channels), channels);
    }

    /**
     * x [R, C] for each of B photographs, [B, R, C] in the compute type. The gradient of x sums those of all in f32.
     */
    private static Value repeated(Weights w, Value x, int photographs) {
        return Ops.cast(Ops.repeat(photographs, Ops.cast(x, DType.F32)), w.compute());
    }

    private static Value keysAndValues(Weights w, Value tokens) {
        return Layers.linear(w.sub("kv"), tokens, 2 * tokens.dim(2));
    }

    /** The vectors [B, R, C] of the regions, from tokens [B, N, C]. */
    Value decode(Weights w, Value tokens) {
        int b = tokens.dim(0), c = tokens.dim(2);
        try (Graph.Scope s = tokens.graph().scope("queries")) {
            Value a = Ops.attention(repeated(w, projected(w, c), b), keysAndValues(w, tokens), heads);
            a = Layers.linear(w.sub("proj"), a, c);
            Node n = Layers.layerNorm(w.sub("norm2"), a, repeated(w, embedded(w, c), b), Layers.VIT_EPS);
            Value m = Layers.linear(w.sub("fc2"), Layers.gelu(Layers.linear(w.sub("fc1"), n.output(0), MLP * c)), c);
            return Layers.layerNorm(w.sub("norm"), m, n.output(3), Layers.VIT_EPS)
                    .output(0);
        }
    }

    /** Vectors [B, R, C] as a map [B, 1, 1, R, C]. */
    static Features map(Value z) {
        return Features.maps(Ops.reshape(z, z.dim(0), 1, 1, z.dim(1), z.dim(2)));
    }

    /** The products of the queries with the keys of the tokens, before the softmax; of a prediction in f32. */
    AttentionScores scores(Weights w, Features tokens) {
        Value x = tokens.value();
        int b = x.dim(0), n = x.dim(1), c = x.dim(2), width = c / heads;
        Value q = projected(w, c), kv = keysAndValues(w, x);
        List<Value> perHead = new ArrayList<>();
        for (int h = 0; h < heads; h++) {
            Value keys = Ops.reshape(Ops.slice(kv, 2, h * width, (h + 1) * width), b * n, width);
            Value queries = Ops.slice(q, 1, h * width, (h + 1) * width);
            perHead.add(Ops.matmul(keys, queries, false, true, null, null, w.result()));
        }
        Value all = Ops.concat(1, perHead.toArray(new Value[0]));
        return new AttentionScores(
                Ops.reshape(all, b, n * heads * names.size()),
                heads,
                names.size(),
                tokens.layers(),
                tokens.placeless(),
                tokens.height(),
                tokens.width(),
                1 / Math.sqrt(width));
    }
}
