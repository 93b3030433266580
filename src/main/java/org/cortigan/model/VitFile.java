// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.io.FileKind;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Layers.MlpActivation;

/**
 * What a safetensors file of a pre-trained ViT holds, from the names and shapes of its tensors and the configuration
 * files beside it. Every tensor of the ViT has its place, and nothing of the ViT is missing; a ViT of another kind is
 * refused by name.
 *
 * @param prefix of the names of the ViT's tensors; "" if they have none
 * @param width E, the width of a token
 * @param hidden width of the MLPs' hidden layer
 * @param positions position embeddings in the file: of the patches, and of the tokens before them that have one
 * @param sources the tensors that make up each parameter, by the parameter's name in timm; none for a bias of zero
 * @param ignored tensors that features do not need
 */
record VitFile(
        Path path,
        VitFamily family,
        String prefix,
        int width,
        int depth,
        int patch,
        int hidden,
        int registers,
        boolean layerScale,
        boolean preNorm,
        int positions,
        Map<String, List<String>> sources,
        List<String> ignored,
        VitConfig config) {
    private static final String READ_ARE =
            "Give a ViT with class token and learned positions: augreg, DeiT, MAE, DINO, DINOv2 or CLIP";

    /** The first that fits names the kind. */
    private static final List<ForeignFile.Kind> OTHERS = List.of(
            ForeignFile.ADAPTER,
            StableDiffusionFile.KIND,
            new ForeignFile.Kind(
                    "(^|\\.)(dist_token|distillation_token)$",
                    "is a distilled DeiT, with a second class token",
                    "Give one without distillation, such as deit_base_patch16_224"),
            new ForeignFile.Kind("layers\\.\\d+\\.(blocks|downsample)\\.", "is a Swin Transformer", READ_ARE),
            new ForeignFile.Kind(
                    "relative_position|gamma_1$|\\.lambda_1$|attn\\.(q_bias|v_bias)$|attn\\.rope|fc1_[gx]\\.|inner_attn_ln",
                    "is a BEiT, EVA-02 or DINOv3, with relative or rotary positions",
                    READ_ARE),
            new ForeignFile.Kind("(^|\\.)rope", "has rotary positions, as EVA-02 and DINOv3", READ_ARE),
            new ForeignFile.Kind(
                    "mlp\\.(w12|w3|weights_in|gate_proj)\\.",
                    "has SwiGLU MLPs, as DINOv2-giant",
                    "Give its size L or less"),
            new ForeignFile.Kind(
                    "(^|\\.)(attn_pool\\.|head\\.probe$)",
                    "pools by attention and has no class token, as SigLIP",
                    READ_ARE),
            new ForeignFile.Kind("attn\\.(q_norm|k_norm)\\.", "normalises queries and keys", READ_ARE),
            new ForeignFile.Kind(
                    "(^|\\.)fc_norm\\.", "has no final norm: it was fine-tuned on the mean of its tokens", READ_ARE),
            new ForeignFile.Kind(
                    "(^|\\.)(stages\\.\\d|layer1\\.0|features\\.0)", "is a convolutional network", READ_ARE));

    /** Tensors that features do not need: heads, poolers, decoders, and what stands for a hidden patch. */
    private static final Pattern UNNEEDED = Pattern.compile("(head|heads|fc|classifier|pooler|pre_logits|decoder"
            + "|dino_head|ibot_head|last_layer|projection_head)\\..*|(head|decoder)_.*"
            + "|(embeddings\\.)?(mask_token|masked_embed|position_ids)|proj|logit_scale");

    /** In a chunked DINOv2, a block's number follows its chunk's. */
    private static final Pattern CHUNK = Pattern.compile("^blocks\\.\\d+\\.(\\d+)\\.");

    private static final List<String> BEFORE =
            List.of("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias");
    private static final List<String> AFTER = List.of("norm.weight", "norm.bias");
    private static final List<String> IN_BLOCK = List.of(
            "norm1.weight",
            "norm1.bias",
            "attn.qkv.weight",
            "attn.qkv.bias",
            "attn.proj.weight",
            "attn.proj.bias",
            "norm2.weight",
            "norm2.bias",
            "mlp.fc1.weight",
            "mlp.fc1.bias",
            "mlp.fc2.weight",
            "mlp.fc2.bias");

    /** @throws InputException if the file holds no ViT that can be read; says what it is */
    static VitFile read(Path path) {
        if (StableDiffusionFile.isFolder(path))
            throw new InputException(
                    path.toString(), "is a folder of Stable Diffusion", StableDiffusionFile.KIND.remedy());
        try (SafeTensors t = SafeTensors.open(path)) {
            return new Reader(t).read();
        }
    }

    /** Side of the photographs that the position embeddings were trained on, in pixels. */
    int nativeImage() {
        return gridSide() * patch;
    }

    /** Side of the grid of patches of the position embeddings. */
    int gridSide() {
        return (int) Math.round(Math.sqrt(positions - tokensWithPositions()));
    }

    /** Tokens before the patches that have positions: none, the class token, or also the registers. */
    int tokensWithPositions() {
        return tokensWithPositions(positions, registers);
    }

    private static int tokensWithPositions(int positions, int registers) {
        if (registers > 0 && isSquare(positions)) return 0;
        if (isSquare(positions - 1)) return 1;
        return isSquare(positions - 1 - registers) ? 1 + registers : -1;
    }

    private static boolean isSquare(int n) {
        int side = n < 1 ? 0 : (int) Math.round(Math.sqrt(n));
        return n > 0 && side * side == n;
    }

    PositionGrid.Resampling resampling() {
        return registers > 0 ? PositionGrid.Resampling.ANTIALIASED : family.resampling;
    }

    double mlpRatio() {
        return (double) hidden / width;
    }

    /** Biases that the file leaves out in the whole network. */
    Set<String> zeros() {
        return sources.entrySet().stream()
                .filter(e -> e.getValue().isEmpty())
                .map(e -> e.getKey().replaceFirst("^blocks\\.\\d+\\.", "blocks.*."))
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** What the file holds, for messages. */
    @Override
    public String toString() {
        return family.label + ": width " + width + ", depth " + depth
                + (config.heads().value() > 0 ? ", " + config.heads().value() + " heads" : "") + ", patch " + patch
                + (registers > 0 ? ", " + registers + " registers" : "") + (layerScale ? ", LayerScale" : "")
                + (preNorm ? ", pre-norm" : "") + ", "
                + (config.activation().value() == MlpActivation.GELU ? "gelu" : "quick_gelu") + ", norm_eps "
                + config.eps().value() + ", positions of " + gridSide() + " x " + gridSide() + " patches";
    }

    /** Reads one file. */
    private static final class Reader {
        private final SafeTensors t;
        /** Whole names by the name below the prefix. */
        private final Map<String, String> inner = new LinkedHashMap<>();

        private final List<String> ignored = new ArrayList<>();
        private final Set<String> missing = new LinkedHashSet<>();
        private final Map<String, List<String>> sources = new LinkedHashMap<>();

        Reader(SafeTensors t) {
            this.t = t;
        }

        VitFile read() {
            ForeignFile.refuseCheckpoint(t, "a pre-trained ViT");
            ForeignFile.refuse(t.path(), t.names(), OTHERS);
            String prefix = prefix();
            VitFamily family = family(prefix);
            int depth = depth(family);
            boolean layerScale = has(family, "blocks.0.ls1.gamma") || has(family, "blocks.0.ls2.gamma");
            boolean preNorm = has(family, "norm_pre.weight"), hasRegisters = has(family, "reg_token");
            if (!has(family, "pos_embed"))
                throw refused(
                        hasRegisters
                                ? "has registers but no position embeddings, as DINOv3 with its rotary positions"
                                : "has no position embeddings",
                        READ_ARE);
            List<String> parameters = new ArrayList<>(BEFORE);
            if (hasRegisters) parameters.add("reg_token");
            if (preNorm) parameters.addAll(List.of("norm_pre.weight", "norm_pre.bias"));
            for (int i = 0; i < depth; i++) {
                for (String name : IN_BLOCK) parameters.add("blocks." + i + "." + name);
                if (layerScale) parameters.addAll(List.of("blocks." + i + ".ls1.gamma", "blocks." + i + ".ls2.gamma"));
            }
            parameters.addAll(AFTER);
            for (String p : parameters) find(family, p);
            leaveOut("patch_embed.proj.bias", preNorm);
            leaveOut("attn.qkv.bias", true);
            requireAll(parameters);
            requireNoOthers();
            return shaped(prefix, family, depth, layerScale, preNorm, hasRegisters);
        }

        private InputException refused(String problem, String remedy) {
            return new InputException(t.path().toString(), problem, remedy);
        }

        /** The class token's name tells the prefix of all names. */
        private String prefix() {
            Set<String> found = new LinkedHashSet<>();
            for (String name : t.names())
                if (name.matches("(.*\\.)?(cls_token|class_embedding)"))
                    found.add(name.replaceFirst("(embeddings\\.)?(cls_token|class_embedding)$", ""));
            if (found.size() == 1) return found.iterator().next();
            if (t.names().isEmpty()) throw refused("has no tensor", READ_ARE);
            if (found.isEmpty())
                throw refused(
                        "has no class token of a ViT among its " + t.names().size() + " tensors, for example "
                                + ForeignFile.examples(t.names()),
                        ForeignFile.remedyForParts(t.path(), FileKind.JOIN, READ_ARE));
            throw refused(
                    "holds several ViTs: their names begin with "
                            + found.stream().map(InputFiles::quote).collect(Collectors.joining(" and ")),
                    "Save one of them");
        }

        /** Chooses the family, and sorts the names into those of the ViT and others. */
        private VitFamily family(String prefix) {
            List<String> outer = new ArrayList<>();
            boolean chunked = false;
            for (String name : t.names()) {
                if (!name.startsWith(prefix)) {
                    outer.add(name);
                    continue;
                }
                String below = name.substring(prefix.length()),
                        plain = CHUNK.matcher(below).replaceFirst("blocks.$1.");
                chunked |= !plain.equals(below);
                if (inner.put(plain, name) != null)
                    throw refused("has two tensors for " + InputFiles.quote(plain), "Save the model anew");
            }
            ignored.addAll(outer);
            if (inner.containsKey(VitFamily.HF_CLIP.anchor)) return VitFamily.HF_CLIP;
            if (inner.containsKey(VitFamily.OPEN_CLIP.anchor)) return VitFamily.OPEN_CLIP;
            if (inner.containsKey(VitFamily.HF_VIT.anchor))
                return inner.keySet().stream().anyMatch(n -> n.matches(".*\\.(norm1|layer_scale1)\\..*"))
                        ? VitFamily.HF_DINOV2
                        : VitFamily.HF_VIT;
            boolean dino = chunked
                    || inner.containsKey("register_tokens")
                    || inner.containsKey("mask_token") && inner.containsKey("blocks.0.ls1.gamma");
            return dino ? VitFamily.DINOV2 : VitFamily.TIMM;
        }

        private int depth(VitFamily family) {
            int depth = 0;
            while (has(family, "blocks." + depth + ".attn.proj.weight")
                    || has(family, "blocks." + depth + ".norm1.weight")) depth++;
            if (depth == 0)
                throw refused(
                        "has a class token, but no block of a ViT",
                        ForeignFile.remedyForParts(t.path(), FileKind.JOIN, READ_ARE));
            return depth;
        }

        private boolean has(VitFamily family, String parameter) {
            return family.names(parameter).stream()
                    .anyMatch(parts -> inner.keySet().containsAll(parts));
        }

        private void find(VitFamily family, String parameter) {
            for (List<String> parts : family.names(parameter))
                if (inner.keySet().containsAll(parts)) {
                    List<String> whole = new ArrayList<>();
                    for (String p : parts) whole.add(inner.remove(p));
                    sources.put(parameter, whole);
                    return;
                }
            missing.add(parameter);
        }

        /** Biases of that name are zero if the file has none of them. */
        private void leaveOut(String name, boolean allowed) {
            List<String> absent = missing.stream().filter(p -> p.endsWith(name)).toList();
            boolean all = sources.keySet().stream().noneMatch(p -> p.endsWith(name));
            if (!allowed || !all) return;
            missing.removeAll(absent);
            for (String p : absent) sources.put(p, List.of());
        }

        private void requireAll(Collection<String> parameters) {
            if (!missing.isEmpty())
                throw refused(
                        "lacks " + missing.size() + " of the " + parameters.size()
                                + " tensors of its ViT, for example '"
                                + missing.iterator().next() + "' by timm's names"
                                + (inner.isEmpty() ? "" : "; it has " + ForeignFile.examples(inner.values())),
                        ForeignFile.remedyForParts(t.path(), FileKind.JOIN, READ_ARE + ", and the whole file"));
        }

        private void requireNoOthers() {
            List<String> others = new ArrayList<>();
            inner.forEach((name, whole) -> {
                if (UNNEEDED.matcher(name).matches() || isBuffer(name, whole)) ignored.add(whole);
                else others.add(whole);
            });
            if (!others.isEmpty())
                throw refused(
                        "has tensors for which CortiGAN's ViT has no place (" + others.size() + "): "
                                + ForeignFile.examples(others),
                        READ_ARE);
        }

        /** Outside the blocks, what has a type of no parameter (whole numbers, complex ones ...) is no parameter. */
        private boolean isBuffer(String name, String whole) {
            return !t.entry(whole).dtype().isRead() && !name.matches(".*\\.\\d+\\..*");
        }

        private VitFile shaped(
                String prefix, VitFamily family, int depth, boolean layerScale, boolean preNorm, boolean hasRegisters) {
            int width = last("cls_token"), patch = patch(width);
            int hidden = (int) Math.min(shape("blocks.0.mlp.fc1.weight")[0], Integer.MAX_VALUE);
            int registers = hasRegisters ? first("reg_token") : 0, positions = first("pos_embed");
            sources.forEach((parameter, from) -> {
                int parts = Math.max(from.size(), 1);
                for (String name : from) {
                    long[] want = want(parameter, width, hidden, patch, registers, positions),
                            found = t.entry(name).shape();
                    want[0] /= parts;
                    boolean flat = parameter.equals("patch_embed.proj.weight")
                            && Arrays.equals(found, new long[] {width, 3L * patch * patch});
                    if (!flat && !Arrays.equals(squeezed(found), squeezed(want)))
                        throw new InputException(
                                t.path() + ", tensor " + InputFiles.quote(name),
                                "has the shape " + Arrays.toString(found) + ", but " + Arrays.toString(want)
                                        + " is needed",
                                "Give weights in PyTorch's layout: other libraries keep kernels the other way round");
                }
            });
            if (tokensWithPositions(positions, registers) < 0)
                throw new InputException(
                        t.path() + ", tensor " + InputFiles.quote(source("pos_embed")),
                        positions + " positions are not a class token and a square grid of patches",
                        READ_ARE);
            boolean isDino = layerScale || registers > 0;
            return new VitFile(
                    t.path(),
                    family,
                    prefix,
                    width,
                    depth,
                    patch,
                    hidden,
                    registers,
                    layerScale,
                    preNorm,
                    positions,
                    sources,
                    List.copyOf(ignored),
                    VitConfig.read(t.path(), family, width, depth, preNorm, isDino));
        }

        /** The first tensor of a parameter that has some. */
        private String source(String parameter) {
            return Objects.requireNonNull(sources.get(parameter), parameter).get(0);
        }

        private long[] shape(String parameter) {
            return t.entry(source(parameter)).shape();
        }

        private int last(String parameter) {
            long[] shape = shape(parameter);
            return shape.length == 0 ? 1 : (int) Math.min(shape[shape.length - 1], Integer.MAX_VALUE);
        }

        /** The number of vectors in a tensor [1, n, E] or [n, E]. */
        private int first(String parameter) {
            long[] shape = shape(parameter);
            return shape.length < 2 ? 1 : (int) Math.min(shape[shape.length - 2], Integer.MAX_VALUE);
        }

        private int patch(int width) {
            long[] s = shape("patch_embed.proj.weight");
            double side = s.length == 4 ? s[3] : s.length == 2 ? Math.sqrt(s[1] / 3.0) : 0;
            boolean fits = side >= 1
                    && side == Math.rint(side)
                    && side <= 1 << 12
                    && (s.length == 2 || s[2] == s[3] && s[1] == 3)
                    && s[0] == width;
            if (!fits)
                throw new InputException(
                        t.path() + ", tensor " + InputFiles.quote(source("patch_embed.proj.weight")),
                        "has the shape " + Arrays.toString(s) + ", but [" + width + ", 3, patch, patch] is needed",
                        "Give weights in PyTorch's layout: other libraries keep kernels the other way round");
            return (int) side;
        }

        private static long[] want(String p, long e, long hidden, long patch, long registers, long positions) {
            String name = p.replaceFirst("^blocks\\.\\d+\\.", "");
            return switch (name) {
                case "reg_token" -> new long[] {registers, e};
                case "pos_embed" -> new long[] {positions, e};
                case "patch_embed.proj.weight" -> new long[] {e, 3, patch, patch};
                case "attn.qkv.weight" -> new long[] {3 * e, e};
                case "attn.qkv.bias" -> new long[] {3 * e};
                case "attn.proj.weight" -> new long[] {e, e};
                case "mlp.fc1.weight" -> new long[] {hidden, e};
                case "mlp.fc1.bias" -> new long[] {hidden};
                case "mlp.fc2.weight" -> new long[] {e, hidden};
                default -> new long[] {e};
            };
        }

        private static long[] squeezed(long[] shape) {
            int lead = 0;
            while (lead < shape.length - 1 && shape[lead] == 1) lead++;
            return Arrays.copyOfRange(shape, lead, shape.length);
        }
    }

    /** What the file or the files beside it tell of the colours that the ViT was trained on. */
    Optional<VitConfig.Told<Normalisation>> colours() {
        return config.colours();
    }
}
