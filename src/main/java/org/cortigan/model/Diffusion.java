// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Arrays;
import java.util.Optional;
import org.cortigan.config.Settings;
import org.cortigan.cortex.Regions;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.nn.DenoisingUNet;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Binary;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;

/**
 * A readout that predicts responses by diffusion (Ho et al. 2020): a UNet denoises the responses, laid out on a grid of
 * cells, and attends to a backbone's tokens of the photograph and a token of the subject. Every vertex has an embedding
 * by which its noisy response enters its cell, and weights by which it reads the cell; the UNet itself cannot tell
 * which vertex it denoises. With a schedule that ends in pure noise and v-prediction (Lin et al. 2023; Salimans and Ho
 * 2022), the output at the last step is the regression of the responses on the photograph.
 *
 * @param unet between the cells
 * @param grid on which the vertices lie
 * @param vertices how vertices enter and leave the cells
 * @param order of the vertices along the grid
 * @param mesh folder of the surface meshes, for the order {@code surface}
 * @param schedule of the noise, and what the network predicts
 * @param terminalShare probability that a photograph trains the last step, pure noise
 * @param sampling how responses are predicted
 */
public record Diffusion(
        DenoisingUNet unet,
        CellGrid grid,
        Interface vertices,
        Regions.Order order,
        String mesh,
        DiffusionSchedule schedule,
        double terminalShare,
        Sampling sampling) {
    /** How vertices enter and leave the grid of cells. */
    public enum Interface {
        /** By an embedding and weights of each vertex. */
        VERTEX,
        /** As channels of a convolution, one for each place in a cell, without positions of cells: for comparison. */
        CONV
    }

    /** The readout's own section below {@code model.generator}. */
    public static final String SECTION = "diffusion";

    /** Whether a key below {@code model.generator} is in the readout's own section or in the UNet's. */
    public static boolean isKey(String key) {
        return key.startsWith(SECTION + ".") || key.startsWith(DenoisingUNet.SECTION + ".");
    }

    /** Whether a key below {@code model.generator} says how responses are predicted, not what the network is. */
    public static boolean isOfSampling(String key) {
        return key.startsWith(SECTION + "." + Sampling.SECTION + ".");
    }

    /** Streams of the random numbers of training: noise, and timesteps. That of {@link Sampling} is another. */
    public static final int NOISE = 0, TIMESTEPS = 1;

    /** Names below the generator's prefix of the UNet, the photograph's projection and the cells' positions. */
    static final String DENOISER = "denoiser", CONDITION = "condition", CELLS = "cells";

    /** Names of the states of a head: the middle of each vertex's cell [V, 2], and its place in the cell [V, n]. */
    static final String CELL = "cell", PLACE = "place";

    private static final double LAYER_EPS = 1e-5;

    /** From the section {@code model.generator} of a recipe; empty for another readout. */
    static Optional<Diffusion> of(Settings generator) {
        if (generator.choice("readout", ReadoutHead.class) != ReadoutHead.DIFFUSION) return Optional.empty();
        Settings s = generator.section(SECTION);
        DenoisingUNet unet = DenoisingUNet.of(generator.section(DenoisingUNet.SECTION));
        int side = s.integer("grid", 1);
        if (Integer.bitCount(side) != 1)
            throw s.wrong("grid", side + " is no power of two", "Give for example 16, 32 or 64");
        unet.requireSide(side, s, "grid");
        Diffusion d = new Diffusion(
                unet,
                new CellGrid(side),
                s.choice("interface", Interface.class),
                s.choice("order", Regions.Order.class),
                s.text("mesh"),
                DiffusionSchedule.of(s),
                s.number("terminal_share", 0, 1),
                Sampling.of(s.section(Sampling.SECTION)));
        if (d.terminalShare > 0 && d.schedule.noise() != DiffusionSchedule.Noise.ZERO)
            throw s.wrong(
                    "terminal_share",
                    d.terminalShare + " needs a schedule that ends in pure noise, and schedule is "
                            + s.text("schedule"),
                    "Set it to 0, or schedule to zero");
        if (d.order == Regions.Order.SURFACE && d.mesh.isEmpty())
            throw s.wrong(
                    "mesh", "is missing, and order is surface", "Name the folder of the meshes, or use order: roi");
        return Optional.of(d);
    }

    /** The same network, whatever trains it and however it predicts. */
    Diffusion network() {
        return new Diffusion(
                unet,
                grid,
                vertices,
                order,
                "",
                schedule,
                0,
                new Sampling(Sampling.Mode.MEAN, Sampling.Mode.MEAN, 1, 1, false, 0));
    }

    /**
     * The random numbers of a training batch.
     *
     * @param key i32 [2]
     * @param rows i32 [B, 2]
     * @param timesteps i32 [B]
     */
    public record Noise(Value key, Value rows, Value timesteps) {}

    /**
     * What a training step compares, f32 [B, V] each: by their mean squared difference.
     *
     * @param prediction output of the network
     * @param target noise, responses or velocity, as {@link DiffusionSchedule} defines the output
     */
    public record Pair(Value prediction, Value target) {}

    /** The tokens to which the UNet attends, [B, N + 1, context] in the compute type: the subject's comes last. */
    Value context(Weights w, Features tokens, String subject) {
        Value x = tokens.value();
        try (Graph.Scope s = x.graph().scope("condition")) {
            Weights c = w.sub(CONDITION);
            x = Layers.linear(c.sub("proj"), x, unet.context(), Init.torch(x.dim(2)), null);
            x = Layers.layerNorm(c.sub("norm"), x, null, LAYER_EPS).output(0);
            Value own = w.sub(ReadoutHead.of(subject)).token("token", Init.normal(0.02), 1, unet.context());
            return Ops.insert(own, x, x.dim(1));
        }
    }

    /**
     * The network's output, f32 [B, V].
     *
     * @param w the generator's parameters
     * @param x noisy responses, f32 [B, V]
     * @param t their steps, i32 [B]
     * @param context what {@link #context} gives
     */
    Value output(Weights w, Value x, Value t, Value context, String subject, int vertices) {
        Graph g = x.graph();
        Weights denoiser = w.sub(DENOISER), head = w.sub(ReadoutHead.of(subject));
        try (Graph.Scope s = g.scope("denoiser")) {
            Value time = Ops.add(unet.time(denoiser, t), head.vector("time", Init.ZEROS, unet.timeWidth()));
            Value h = in(head, x, vertices);
            if (vertices() == Interface.VERTEX) h = Ops.add(h, positions(w));
            h = unet.normOut(denoiser, unet.body(denoiser, h, time, context));
            return Ops.cast(out(head, h, vertices), DType.F32);
        }
    }

    private int width() {
        return unet.channels().get(0);
    }

    private Value positions(Weights w) {
        int side = grid.side();
        Value p = w.sub(CELLS).vector("position", Init.VIT, side * side, width());
        return Ops.reshape(p, side, side, width());
    }

    private Value cells(Weights head, int vertices) {
        return head.state(CELL, Init.ZEROS, vertices, 2);
    }

    private Value places(Weights head, int vertices) {
        return Ops.cast(head.state(PLACE, Init.ZEROS, vertices, grid.depth(vertices)), head.result());
    }

    /** Noisy responses [B, V] as a map [B, side, side, channels]. */
    private Value in(Weights head, Value x, int vertices) {
        int side = grid.side();
        Value cells = cells(head, vertices);
        if (vertices() == Interface.CONV) return unet.convIn(head, onCells(head, x, places(head, vertices), cells));
        // White noise then has unit variance in each channel.
        double std = Math.sqrt(Math.min(1, (double) side * side / vertices));
        Value e = head.vector("embedding", Init.normal(std), vertices, width());
        return onCells(head, x, Ops.cast(e, head.result()), cells);
    }

    /** The sums over the vertices of each cell, in the type of results, as what products compute from. */
    private Value onCells(Weights head, Value x, Value embeddings, Value cells) {
        return Ops.cast(Ops.cellsIn(x, embeddings, cells, grid.side(), grid.side()), head.compute());
    }

    /** The vertices' values [B, V] of a map [B, side, side, channels]. */
    private Value out(Weights head, Value h, int vertices) {
        if (vertices() == Interface.VERTEX) return ReadoutHead.DIFFUSION.apply(head, layer(h), vertices);
        Graph g = h.graph();
        Value channels = Ops.cast(unet.convOut(head, h, grid.depth(vertices)), head.result());
        return g.apply(
                        new PositionReadout(true),
                        layer(channels).value(),
                        cells(head, vertices),
                        places(head, vertices),
                        g.constant(0, DType.F32, vertices))
                .output(0);
    }

    /** A map [B, H, W, C] as that of one layer. */
    private static Features layer(Value h) {
        return Features.maps(Ops.reshape(h, h.dim(0), 1, h.dim(1), h.dim(2), h.dim(3)));
    }

    /** Adds noise to responses f32 [B, V], and lets the network tell it. */
    Pair pair(Weights w, Features tokens, Value responses, Noise noise, String subject) {
        Graph g = responses.graph();
        int v = responses.dim(1);
        Value n = Ops.normal(noise.key, noise.rows, NOISE, v);
        Value table = g.table(schedule.table(), DiffusionSchedule.TIMESTEPS, DiffusionSchedule.COLUMNS);
        Node noisy = Ops.diffuse(responses, n, noise.timesteps, table);
        Value context = context(w, tokens, subject);
        return new Pair(output(w, noisy.output(0), noise.timesteps, context, subject, v), noisy.output(1));
    }

    /**
     * The estimate of the responses from pure noise, one evaluation of the network at the last step: [B, V] in the type
     * of results. All photographs have the same noise, that of the sampling's seed.
     */
    Value mean(Weights w, Features tokens, String subject, int vertices) {
        Value context = context(w, tokens, subject);
        Graph g = context.graph();
        int b = context.dim(0);
        int[] last = new int[b];
        Arrays.fill(last, DiffusionSchedule.LAST);
        Value key = g.table(key(sampling.seed()), 2);
        Value x = Ops.normal(key, g.table(new int[2 * b], b, 2), Sampling.STREAM, vertices);
        Value f = output(w, x, g.table(last, b), context, subject, vertices);
        DiffusionSchedule.Step step = schedule.step(DiffusionSchedule.LAST, 1);
        Value y = g.apply(new Binary(Binary.Kind.AXPBY, step.x(), step.output()), x, f)
                .output(0);
        return Ops.cast(y, w.result());
    }

    /** The key of a seed's random numbers: its low and its high half. */
    public static int[] key(long seed) {
        return new int[] {(int) seed, (int) (seed >>> Integer.SIZE)};
    }
}
