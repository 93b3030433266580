// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;
import org.jspecify.annotations.Nullable;

/**
 * A Vision Transformer over patches of a region's vertices. The class token gives one logit. The networks of several
 * regions run one after the other. The photograph's embedding is an additional token.
 *
 * @param patch vertices per patch
 * @param width E, the width of a token
 * @param depth number of blocks
 * @param heads number of attention heads; divides the width
 * @param mlpRatio hidden width of a block's MLP divided by E
 */
public record VitDiscriminator(int patch, int width, int depth, int heads, double mlpRatio)
        implements DiscriminatorNetwork {
    static final NetworkType<DiscriminatorNetwork> TYPE = new NetworkType<>("vit", "ViT", """
            patch: 128             # vertices per patch
            width: 192
            depth: 4
            heads: 3
            mlp_ratio: 4
            """, VitDiscriminator::of);

    /** From the section {@code model.discriminator.vit} of a recipe. */
    static VitDiscriminator of(Settings s) {
        VitDiscriminator v = new VitDiscriminator(
                s.integer("patch", 1),
                s.integer("width", 1),
                s.integer("depth", 1),
                s.integer("heads", 1),
                s.number("mlp_ratio", 0.1));
        if (v.width % v.heads != 0)
            throw s.wrong("heads", v.heads + " do not divide the width " + v.width, "Choose a divisor");
        return v;
    }

    @Override
    public NetworkType<DiscriminatorNetwork> type() {
        return TYPE;
    }

    @Override
    public int imageFeatures() {
        return width;
    }

    @Override
    public Logits logits(List<Weights> ws, Value x, int rows, List<Integer> vertices, @Nullable Value image) {
        List<Value> all = new ArrayList<>();
        int at = 0;
        for (int i = 0; i < ws.size(); i++) {
            Value own = Ops.reshape(Ops.slice(x, 0, at, at += rows * vertices.get(i)), rows, vertices.get(i));
            Value token = image == null
                    ? null
                    : Ops.reshape(Ops.slice(image, 0, i * rows * width, (i + 1) * rows * width), rows, 1, width);
            all.add(Ops.reshape(decision(ws.get(i), own, token), rows));
        }
        return new Logits(Ops.concat(0, all.toArray(new Value[0])), Regional.each(ws, 1));
    }

    /**
     * Logits [R, 1] of one region.
     *
     * @param x responses [R, vertices]
     * @param image [R, 1, E], or null
     */
    private Value decision(Weights w, Value x, @Nullable Value image) {
        int b = x.dim(0), tokens = (x.dim(1) + patch - 1) / patch;
        try (Graph.Scope s = x.graph().scope("patch_embed")) {
            x = Ops.reshape(Ops.pad(x, 1, 0, tokens * patch - x.dim(1)), b, tokens, patch);
            x = Layers.linear(w.sub("patch_embed.proj"), x, width);
            if (image != null) x = Ops.concat(1, image, x);
            x = Ops.prepend(w.token("cls_token", Init.VIT, 1, width), x);
            x = Ops.add(x, w.vector("pos_embed", Init.VIT, x.dim(1), width));
        }
        x = Layers.encoder(w, x, new Layers.Encoder(depth, heads, mlpRatio), Layers.Tokens.CLASS);
        try (Graph.Scope s = x.graph().scope("decision")) {
            return Layers.linear(w.sub("decision"), Ops.reshape(x, b, width), 1);
        }
    }
}
