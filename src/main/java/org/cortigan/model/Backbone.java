// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/** The generators' networks, from photographs u8 [B, S, S, 3] to {@link Features}. */
final class Backbone {
    private static final int[] FOUR = {4, 4}, THREE = {3, 3}, TWO = {2, 2}, ONE = {1, 1};

    private Backbone() {}

    static Features of(Generator g, Weights w, Value images, String subject) {
        return switch (g.type()) {
            case VIT -> vit(g, w, images, subject);
            case CNN -> cnn(g, w, images, subject);
            case UNET -> unet(g, w, images, subject);
        };
    }

    /** x [..., C] plus the subject's own vector of C, where the model is of several subjects. */
    private static Value ofSubject(Weights w, Value x, String subject) {
        return subject.isEmpty() ? x : Ops.add(x, w.vector(Generator.SUBJECT + "." + subject, Init.VIT, x.dim(-1)));
    }

    private static Features vit(Generator g, Weights w, Value images, String subject) {
        Graph graph = images.graph();
        Value x;
        try (Graph.Scope s = graph.scope("patch_embed")) {
            x = Ops.patchify(images, g.patch(), g.mean(), g.std(), w.compute());
            x = Layers.linear(w.sub("patch_embed.proj"), x, g.width(), Init.torch(x.dim(2)), Init.torch(x.dim(2)));
        }
        try (Graph.Scope s = graph.scope("tokens")) {
            x = Ops.prepend(w.token("cls_token", Init.normal(1e-6), 1, g.width()), x);
            x = ofSubject(w, Ops.add(x, w.vector("pos_embed", Init.VIT, x.dim(1), g.width())), subject);
        }
        List<Integer> layers = g.layers().isEmpty() ? List.of(g.depth()) : g.layers();
        List<Value> tokens = Layers.encoder(w, x, g.depth(), g.heads(), g.mlpRatio(), layers);
        int b = x.dim(0), t = x.dim(1), side = g.image() / g.patch();
        List<Value> parts = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Value h = tokens.get(i);
            Weights project = w.sub("readout." + layers.get(i));
            try (Graph.Scope s = graph.scope("pool")) {
                if (g.readout().spatial()) {
                    parts.add(Ops.slice(Layers.linear(project, h, g.features()), 1, 1, t));
                    continue;
                }
                Value v = g.pool() == Generator.Pool.CLS
                        ? Ops.reshape(Ops.slice(h, 1, 0, 1), b, g.width())
                        : Ops.meanMiddle(Ops.slice(h, 1, 1, t));
                parts.add(layers.size() == 1 ? v : Layers.linear(project, v, g.features()));
            }
        }
        Value all = Ops.concat(1, parts.toArray(new Value[0]));
        if (!g.readout().spatial()) return Features.vectors(all, layers.size());
        return Features.maps(Ops.reshape(all, b, layers.size(), side, side, g.features()));
    }

    private static Features cnn(Generator g, Weights w, Value images, String subject) {
        Value x = Ops.normalize(images, g.mean(), g.std(), w.compute());
        for (int i = 0; i < g.channels().size(); i++)
            try (Graph.Scope s = x.graph().scope("conv." + i)) {
                x = Layers.leakyRelu(
                        Layers.conv(w.sub("conv." + i), x, g.channels().get(i), FOUR, TWO, ONE));
            }
        return ofMap(g, w, ofSubject(w, x, subject));
    }

    /**
     * Encoder of 4x4 convolutions with stride 2 and decoder of nearest-neighbour upsampling with 3x3 convolutions,
     * joined by skip connections (Ronneberger et al. 2015, Isola et al. 2017); normalised, LeakyReLU.
     */
    private static Features unet(Generator g, Weights w, Value images, String subject) {
        Graph graph = images.graph();
        List<Integer> c = g.channels();
        Value x = Ops.normalize(images, g.mean(), g.std(), w.compute());
        List<Value> down = new ArrayList<>();
        for (int i = 0; i < c.size(); i++)
            try (Graph.Scope s = graph.scope("down." + i)) {
                x = block(g, w.sub("down." + i), x, c.get(i), FOUR, TWO);
                if (i == c.size() - 1) x = ofSubject(w, x, subject);
                down.add(x);
            }
        for (int i = c.size() - 2; i >= c.size() - 1 - g.decoder(); i--)
            try (Graph.Scope s = graph.scope("up." + i)) {
                x = Ops.concat(3, Ops.upsample(x), down.get(i));
                x = block(g, w.sub("up." + i), x, c.get(i), THREE, ONE);
            }
        return ofMap(g, w, x);
    }

    private static Value block(Generator g, Weights w, Value x, int channels, int[] kernel, int[] stride) {
        Value y = Layers.conv(w.sub("conv"), x, channels, kernel, stride, ONE);
        return switch (g.norm()) {
            case NONE -> Layers.leakyRelu(y);
            case GROUP -> Layers.groupNorm(w.sub("norm"), y, Math.min(g.groups(), channels));
            case BATCH -> Layers.batchNorm(w.sub("norm"), y);
        };
    }

    private static Features ofMap(Generator g, Weights w, Value map) {
        try (Graph.Scope s = map.graph().scope("features")) {
            if (!g.readout().spatial()) return Features.vectors(Readout.flatten(w.sub("features"), map, g.hidden()), 1);
            Value x = Layers.linear(w.sub("readout"), map, g.features());
            return Features.maps(Ops.reshape(x, x.dim(0), 1, x.dim(1), x.dim(2), x.dim(3)));
        }
    }
}
