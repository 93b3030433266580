// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * A Vision Transformer (Dosovitskiy et al. 2021); its parameters have timm's names.
 *
 * @param patch side of a patch in pixels
 * @param width E, the width of a token
 * @param encoder the blocks
 * @param registers learned tokens between the class token and the patches, which no readout sees (Darcet et al. 2024)
 * @param preNorm whether a layer norm precedes the blocks, as in CLIP
 * @param pool what a dense readout reads of the T patch tokens and the class token
 * @param layers blocks whose tokens the readout reads, 1 to depth, ascending; if empty, the last block
 * @param embed what the tokens are made of
 */
public record Vit(
        int patch,
        int width,
        Layers.Encoder encoder,
        int registers,
        boolean preNorm,
        Pool pool,
        List<Integer> layers,
        Embed embed)
        implements Backbone {
    static final NetworkType<Backbone> TYPE =
            new NetworkType<>("vit", "ViT", "vit", """
            size: custom           # tiny | small | base | large, or custom: width, depth and heads below
            patch: 16              # side of a patch, in pixels
            width: 192
            depth: 12
            heads: 3
            mlp_ratio: 4
            pool: cls              # what a dense readout reads: cls | mean | tokens: every patch, for a recipe with a rank
            layers: []             # blocks that the readout reads, 1 to depth; each vertex weighs them. []: the last
            layer_scale: false     # whether learned vectors scale each block's branches, as in DINOv2
            registers: 0           # learned tokens beside the class token that no readout sees: 4 in DINOv2 with registers
            pre_norm: false        # whether a layer norm precedes the blocks, as in CLIP
            activation: gelu       # of the MLPs: gelu | quick_gelu, of OpenAI's CLIP
            norm_eps: 1.0e-6       # of the layer norms; 1e-5 in CLIP, 1e-12 in Hugging Face's ViT
            lora_rank: 0           # r of low-rank updates of the blocks' layers (LoRA), which train beside frozen weights; 0: none
            lora_alpha: 16         # an update is lora_alpha / lora_rank times B A
            lora_targets: [qkv, proj] # layers that have an update: qkv, proj, fc1, fc2
            embed: pixels          # what a patch's token is made of: pixels | gabor: energies of Gabor wavelets, fixed
            """, s -> of(s.section("vit")), Vit::used);

    /** Name of the position embeddings. */
    static final String POSITIONS = "pos_embed";

    /** What a dense readout reads. */
    public enum Pool {
        /** The class token, [B, E]. */
        CLS,
        /** The mean of the patch tokens, [B, E]. */
        MEAN,
        /** All patch tokens, [B, T E], so that it knows where in the photograph a feature lies. */
        TOKENS
    }

    /**
     * Sizes in the literature (Touvron et al. 2021, "Training data-efficient image transformers"; Dosovitskiy et al.
     * 2021).
     */
    private enum Size {
        CUSTOM(0, 0, 0),
        TINY(192, 12, 3),
        SMALL(384, 12, 6),
        BASE(768, 12, 12),
        LARGE(1024, 24, 16);

        final int width;
        final int depth;
        final int heads;

        Size(int width, int depth, int heads) {
            this.width = width;
            this.depth = depth;
            this.heads = heads;
        }
    }

    /** The key {@code size} of a ViT of these sizes. */
    static String sizeOf(int width, int depth, int heads) {
        Size named = Size.CUSTOM;
        for (Size s : Size.values()) if (s.width == width && s.depth == depth && s.heads == heads) named = s;
        return named.name().toLowerCase(Locale.ROOT);
    }

    private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d+)\\.");

    /** Number of the block that a parameter belongs to, from 1 on; 0 if it belongs to none. */
    static int blockOf(String parameter) {
        Matcher m = BLOCK.matcher(parameter);
        return m.lookingAt() ? Integer.parseInt(m.group(1)) + 1 : 0;
    }

    /** Names, or their beginnings, of the parameters before the blocks. */
    private static final List<String> STEM =
            List.of("patch_embed.", "cls_token", "reg_token", "pos_embed", "norm_pre.");

    /** Whether a parameter comes before the blocks. */
    static boolean isStem(String parameter) {
        return STEM.stream().anyMatch(parameter::startsWith);
    }

    /** From the section {@code model.generator.vit} of a recipe. */
    static Vit of(Settings s) {
        Size size = s.choice("size", Size.class);
        boolean custom = size == Size.CUSTOM;
        Vit v = new Vit(
                s.integer("patch", 1),
                custom ? s.integer("width", 1) : size.width,
                new Layers.Encoder(
                        custom ? s.integer("depth", 1) : size.depth,
                        custom ? s.integer("heads", 1) : size.heads,
                        s.number("mlp_ratio", 0.1),
                        s.has("norm_eps") ? s.number("norm_eps", 1e-30) : Layers.VIT_EPS,
                        s.has("activation")
                                ? s.choice("activation", Layers.MlpActivation.class)
                                : Layers.MlpActivation.GELU,
                        s.has("layer_scale") && s.flag("layer_scale"),
                        lora(s)),
                s.has("registers") ? s.integer("registers", 0) : 0,
                s.has("pre_norm") && s.flag("pre_norm"),
                s.choice("pool", Pool.class),
                s.integers("layers"),
                Embed.of(s));
        v.check(s);
        return v;
    }

    private static Lora lora(Settings s) {
        int rank = s.has("lora_rank") ? s.integer("lora_rank", 0) : 0;
        if (rank == 0) return Lora.NONE;
        List<Lora.Target> targets = s.choices("lora_targets", Lora.Target.class);
        if (targets.isEmpty())
            throw s.wrong("lora_targets", "names no layer", "Name some of qkv, proj, fc1, fc2, or set lora_rank to 0");
        double alpha = s.number("lora_alpha", 0);
        if (alpha == 0) throw s.wrong("lora_alpha", "0 turns the updates off", "Give a number above 0, or lora_rank 0");
        return new Lora(rank, alpha, Set.copyOf(targets));
    }

    /** A size other than custom has its own width, depth and heads. */
    private static Map<String, Object> used(Map<String, Object> values) {
        Map<String, Object> used = new LinkedHashMap<>(values);
        if (!"custom".equals(values.get("size"))) used.keySet().removeAll(List.of("width", "depth", "heads"));
        return used;
    }

    private void check(Settings s) {
        if (width % encoder.heads() != 0)
            throw s.wrong("heads", encoder.heads() + " do not divide the width " + width, "Choose a divisor");
        if (encoder.lora().rank() > width)
            throw s.wrong(
                    "lora_rank",
                    encoder.lora().rank() + " is above the width " + width,
                    "Give a lower one, for example 8: an update of full rank is no smaller than the weight");
        for (int i = 0; i < layers.size(); i++)
            if (layers.get(i) > encoder.depth() || i > 0 && layers.get(i) <= layers.get(i - 1))
                throw s.wrong(
                        "layers",
                        layers + " is not an ascending list of blocks",
                        "Give blocks from 1 to " + encoder.depth());
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public List<String> layerNames() {
        return layers.size() < 2
                ? List.of()
                : layers.stream().map(i -> "block " + i).toList();
    }

    @Override
    public void checkImage(int side, Settings s) {
        if (side % patch != 0)
            throw s.wrong("patch", patch + " does not divide the image's " + side + " pixels", "Choose a divisor");
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Value x = tokens(w, images, subject, normalisation);
        List<Integer> read = layers.isEmpty() ? List.of(encoder.depth()) : layers;
        Layers.Tokens seen = form.spatial() || pool != Pool.CLS ? Layers.Tokens.ALL : Layers.Tokens.CLASS;
        List<Value> tokens = Layers.encoder(w, x, encoder, seen, read);
        List<Value> parts = new ArrayList<>();
        for (int i = 0; i < read.size(); i++) {
            Weights project = w.sub("readout." + read.get(i));
            try (Graph.Scope s = images.graph().scope("pool")) {
                Value h = tokens.get(i);
                if (form.spatial()) {
                    boolean whole = form.kind() == Features.Kind.TOKENS;
                    Value v = Layers.linear(project, whole ? withoutRegisters(h) : h, form.channels());
                    parts.add(whole ? v : patches(v));
                } else {
                    Value v = pooled(h);
                    parts.add(read.size() == 1 ? v : Layers.linear(project, v, form.channels()));
                }
            }
        }
        Value all = Ops.concat(1, parts.toArray(new Value[0]));
        if (!form.spatial()) return Features.vectors(all, read.size());
        int side = images.dim(1) / patch;
        if (form.kind() == Features.Kind.TOKENS) return Features.tokens(all, read.size(), side, side);
        return Features.maps(Ops.reshape(all, x.dim(0), read.size(), side, side, form.channels()));
    }

    /**
     * The class token and the embedded patches, plus their position embeddings, with the registers between them: [B, 1
     * + R + T, E].
     */
    private Value tokens(Weights w, Value images, String subject, Normalisation normalisation) {
        Graph graph = images.graph();
        Value x;
        try (Graph.Scope s = graph.scope("patch_embed")) {
            x = embed == Embed.GABOR
                    ? energies(w.sub("patch_embed"), images, normalisation)
                    : Ops.patchify(images, patch, normalisation.mean(), normalisation.std(), w.compute());
            x = Layers.linear(w.sub("patch_embed.proj"), x, width, Init.torch(x.dim(2)), Init.torch(x.dim(2)));
        }
        try (Graph.Scope s = graph.scope("tokens")) {
            x = Ops.prepend(w.token("cls_token", Init.normal(1e-6), 1, width), x);
            x = Ops.add(x, w.vector(POSITIONS, Init.VIT, x.dim(1), width));
            x = SubjectVector.add(w, x, subject);
            if (registers > 0) x = Ops.insert(w.token("reg_token", Init.normal(1e-6), registers, width), x, 1);
            return preNorm
                    ? Layers.layerNorm(w.sub("norm_pre"), x, null, encoder.eps())
                            .output(0)
                    : x;
        }
    }

    /** The energies in each patch, [B, T, C]. */
    private Value energies(Weights w, Value images, Normalisation normalisation) {
        Value x = EnergyMaps.standardised(w, images, normalisation, images.dim(1) / patch);
        return Ops.reshape(x, x.dim(0), x.dim(1) * x.dim(2), x.dim(3));
    }

    /** One vector for each photograph, [B, E] or [B, T E], from its class token [B, 1, E] or all its tokens. */
    private Value pooled(Value tokens) {
        return switch (pool) {
            case CLS -> Ops.reshape(tokens, tokens.dim(0), width);
            case MEAN -> Ops.meanMiddle(patches(tokens));
            case TOKENS -> Ops.reshape(patches(tokens), tokens.dim(0), (tokens.dim(1) - 1 - registers) * width);
        };
    }

    /** The class token and the patches, [B, 1 + T, C]. */
    private Value withoutRegisters(Value tokens) {
        return registers == 0 ? tokens : Ops.concat(1, Ops.slice(tokens, 1, 0, 1), patches(tokens));
    }

    /** The tokens [B, 1 + R + T, C] without the class token and the registers. */
    private Value patches(Value tokens) {
        return Ops.slice(tokens, 1, 1 + registers, tokens.dim(1));
    }
}
