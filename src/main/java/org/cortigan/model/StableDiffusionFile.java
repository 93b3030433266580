// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.jspecify.annotations.Nullable;

/**
 * The UNet, the VAE or the text encoder of Stable Diffusion 1.x, from a folder of diffusers, a safetensors file of one,
 * or a single file with the authors' names (CompVis). Models of another kind are refused by name. Tensors stay in the
 * mapped file until they are read.
 *
 * @param file that has the tensors
 * @param naming whose names it has, for messages
 * @param tensors of this part by diffusers' names
 * @param notes what the user should know
 */
record StableDiffusionFile(SafeTensors file, String naming, Map<String, Tensor> tensors, List<String> notes) {
    /** A tensor in a mapped file. */
    record Tensor(SafeTensors file, SafeTensors.Entry entry) {
        /** The tensor's shape; of a convolution that reads single pixels, that of the linear layer which it is. */
        long[] shape() {
            long[] s = entry.shape();
            boolean isLinear = s.length == 4 && s[2] == 1 && s[3] == 1;
            return isLinear ? new long[] {s[0], s[1]} : s.clone();
        }

        float[] read() {
            return file.finite(entry.name());
        }

        /** A part of the numbers. */
        float[] read(long from, int count) {
            return file.finite(entry.name(), from, count);
        }
    }

    /** How a file of Stable Diffusion is named where another model is wanted. */
    static final ForeignFile.Kind KIND = new ForeignFile.Kind(
            "(^|\\.)(time_embed\\.\\d|time_embedding\\.|input_blocks\\.|down_blocks\\.|first_stage_model\\.|encoder\\.down\\.)",
            "is of Stable Diffusion",
            "Give it to train.init_unet with readout diffusion, or to train.init with a generator of type sd");

    static final String READ_ARE =
            "Give Stable Diffusion 1.x: a folder of diffusers with unet and vae, or a safetensors file of it";

    /** What to do without the text encoder. */
    static final String TEXT_REMEDY = "Set model.generator.sd.tokens to 1, which needs no text encoder, or give Stable"
            + " Diffusion 1.x with its own: a folder of diffusers with text_encoder/model.safetensors, or a single file"
            + " with cond_stage_model.*";

    private static final String CONVERT = "Convert it: diffusers.StableDiffusionPipeline.from_pretrained(FOLDER)"
            + ".save_pretrained(OUT, safe_serialization=True)";

    static final String JOIN = "Join them: diffusers.UNet2DConditionModel.from_pretrained(FOLDER)"
            + ".save_pretrained(OUT, max_shard_size='100GB')";

    private static final List<ForeignFile.Kind> OTHERS = List.of(
            ForeignFile.ADAPTER,
            new ForeignFile.Kind("(^|\\.)(control_model\\.|controlnet_|input_hint_block)", "is a ControlNet", READ_ARE),
            new ForeignFile.Kind("motion_modules|temporal_|time_stack|time_mix", "is a model of videos", READ_ARE),
            new ForeignFile.Kind(
                    "(^|\\.)(add_embedding|label_emb)\\.|^conditioner\\.", "is Stable Diffusion XL", READ_ARE),
            new ForeignFile.Kind(
                    "(^|\\.)(joint_blocks|double_blocks|single_transformer_blocks|x_embedder|pos_embed\\.proj)\\b",
                    "is a diffusion transformer, as Stable Diffusion 3",
                    READ_ARE));

    /** Files that have no UNet. */
    private static final List<ForeignFile.Kind> PARTS = List.of(
            new ForeignFile.Kind(
                    "(^|\\.)(encoder|decoder)\\.(conv_in|down\\.|down_blocks\\.|up\\.|up_blocks\\.)",
                    "holds the VAE of Stable Diffusion, but no UNet",
                    READ_ARE),
            new ForeignFile.Kind(
                    "(^|\\.)(class_embedding|cls_token)$",
                    "holds a CLIP or another ViT, but no UNet of Stable Diffusion",
                    "Give it to train.init with a generator of type vit, or --backbone"),
            new ForeignFile.Kind(
                    "(^|\\.)token_embedding\\.", "holds a text encoder, but no UNet of Stable Diffusion", READ_ARE));

    private static final String STEM = "diffusion_pytorch_model";

    /** Folder of the text encoder. */
    private static final String TEXT = "text_encoder";

    private static final Pattern WEIGHTS = weights(STEM),
            SHARD = Pattern.compile(".*-\\d+-of-\\d+\\.safetensors"),
            PICKLE = Pattern.compile(".*\\.(bin|ckpt|pt|pth)");

    /** A tensor that every VAE has. */
    private static final String VAE_FIRST = "encoder.conv_in.weight";

    private static final String EMA = "model_ema.", MODEL = "model.";

    /** Whether a path is a folder of diffusers, with Stable Diffusion or a part of it. */
    static boolean isFolder(Path path) {
        return Files.isDirectory(path)
                && (Files.isDirectory(path.resolve("unet"))
                        || Files.exists(path.resolve("model_index.json"))
                        || InputFiles.list(path).stream().anyMatch(p -> isNamed(p, WEIGHTS)));
    }

    /**
     * Opens the UNet.
     *
     * @param path a folder of diffusers, its folder unet, a file in that, or a single file
     * @throws InputException if there is no UNet of Stable Diffusion 1.x; says what there is
     */
    static StableDiffusionFile unet(Path path) {
        SafeTensors t = open(Files.isDirectory(path) ? weights(path, "unet") : path);
        Set<String> compVis = prefixes(t.names(), "time_embed.0.weight"),
                diffusers = prefixes(t.names(), "time_embedding.linear_1.weight");
        if (compVis.size() + diffusers.size() > 1)
            throw refused(
                    t.path(),
                    "holds several UNets: their names begin with "
                            + Stream.concat(compVis.stream(), diffusers.stream())
                                    .map(InputFiles::quote)
                                    .collect(Collectors.joining(" and ")),
                    "Save one of them");
        if (compVis.size() + diffusers.size() == 0) {
            ForeignFile.refuse(t.path(), t.names(), PARTS);
            throw refused(
                    t.path(),
                    t.names().isEmpty()
                            ? "has no tensor"
                            : "has no UNet of Stable Diffusion among its "
                                    + t.names().size() + " tensors, for example " + ForeignFile.examples(t.names()),
                    ForeignFile.remedyForParts(t.path(), JOIN, READ_ARE));
        }
        boolean isCompVis = diffusers.isEmpty();
        StableDiffusionFile f = part(
                t,
                isCompVis ? compVis.iterator().next() : diffusers.iterator().next(),
                isCompVis ? "the authors' names" : "diffusers' names",
                isCompVis ? StableDiffusionNames::ofUnet : StableDiffusionFile::same);
        f.requireFirst();
        return f;
    }

    /**
     * Opens the VAE.
     *
     * @param path as for {@link #unet}; of a folder with unet and vae, or a file in unet, it is that beside
     * @throws InputException if there is none
     */
    static StableDiffusionFile vae(Path path) {
        SafeTensors t = open(vaeFile(path));
        Set<String> prefixes = prefixes(t.names(), VAE_FIRST);
        if (prefixes.size() != 1)
            throw refused(
                    t.path(),
                    "holds " + (prefixes.isEmpty() ? "no VAE" : "several VAEs") + " of Stable Diffusion",
                    READ_ARE);
        return part(t, prefixes.iterator().next(), "", StableDiffusionNames::ofVae);
    }

    private static Path vaeFile(Path path) {
        Path file = find(path, "vae", VAE_FIRST);
        if (file != null) return file;
        if (Files.isDirectory(path)) return weights(path, "vae");
        throw refused(path, "holds a UNet, and there is no folder vae beside its own", READ_ARE);
    }

    /**
     * Opens the text encoder, whose names are those below {@code text_model.}.
     *
     * @param path as for {@link #vae}
     * @return null if there is none
     * @throws InputException if there is another than that of Stable Diffusion 1.x
     */
    static @Nullable StableDiffusionFile text(Path path) {
        Path file = find(path, TEXT, ClipText.TABLE);
        if (file == null) return null;
        SafeTensors t = open(file);
        Set<String> prefixes = prefixes(t.names(), ClipText.TABLE);
        if (prefixes.size() != 1)
            throw refused(file, "holds " + (prefixes.isEmpty() ? "no" : "several") + " text encoders", TEXT_REMEDY);
        StableDiffusionFile f = part(t, prefixes.iterator().next(), "", StableDiffusionFile::same);
        if (f.dim(ClipText.TABLE, 1) == 1024)
            throw refused(
                    file,
                    "holds the text encoder of Stable Diffusion 2: it is 1024 wide (tensor "
                            + f.tensor(ClipText.TABLE).entry + ")",
                    TEXT_REMEDY);
        return f;
    }

    /**
     * The file of a part: a single file itself, otherwise the one in the part's folder beside or above.
     *
     * @param first a tensor that every such part has
     * @return null if there is neither; for the text encoder also if its folder has no file of weights
     */
    private static @Nullable Path find(Path path, String part, String first) {
        boolean isFolder = Files.isDirectory(path);
        if (!isFolder && !prefixes(open(path).names(), first).isEmpty()) return path;
        Path whole = path.toAbsolutePath().normalize(), folder = isFolder ? whole : whole.getParent();
        if (folder != null && folder.endsWith("unet")) folder = folder.getParent();
        if (folder == null || !Files.isDirectory(folder.resolve(part))) return null;
        return part.equals(TEXT) && hasNoWeights(folder.resolve(part)) ? null : weights(folder, part);
    }

    /** The file stays mapped until nothing reads it any more. */
    private static SafeTensors open(Path file) {
        SafeTensors t = SafeTensors.open(file);
        ForeignFile.refuseCheckpoint(t, "Stable Diffusion");
        ForeignFile.refuse(file, t.names(), OTHERS);
        return t;
    }

    private static InputException refused(Path file, String problem, String remedy) {
        return new InputException(file.toString(), problem, remedy);
    }

    private static boolean isNamed(Path file, Pattern pattern) {
        return pattern.matcher(file.getFileName().toString()).matches();
    }

    private static Pattern weights(String stem) {
        return Pattern.compile(stem + "(\\.\\w+)?\\.safetensors");
    }

    private static boolean hasNoWeights(Path folder) {
        return InputFiles.list(folder).stream()
                .noneMatch(p -> p.toString().endsWith(".safetensors") || isNamed(p, PICKLE));
    }

    /** The file of weights of a part: in the folder of its name, or in the given folder itself. */
    private static Path weights(Path folder, String part) {
        boolean isText = part.equals(TEXT);
        Path own = folder.resolve(part), where = Files.isDirectory(own) ? own : folder;
        String stem = isText ? "model" : STEM;
        Pattern named = weights(stem);
        List<Path> files = InputFiles.list(where);
        List<Path> found = files.stream().filter(p -> isNamed(p, named)).toList();
        for (String preferred : List.of(stem + ".safetensors", stem + ".fp16.safetensors"))
            if (found.contains(where.resolve(preferred))) return where.resolve(preferred);
        if (found.size() == 1) return found.get(0);
        List<Path> shards = files.stream().filter(p -> isNamed(p, SHARD)).toList(),
                pickles = files.stream().filter(p -> isNamed(p, PICKLE)).toList(),
                others =
                        files.stream()
                                .filter(p -> p.toString().endsWith(".safetensors"))
                                .toList();
        String lacks = "has no " + (where.equals(own) ? "" : part + "/") + stem + ".safetensors";
        if (!shards.isEmpty())
            throw refused(where, "has weights in " + shards.size() + " parts", isText ? TEXT_REMEDY : JOIN);
        if (!others.isEmpty())
            throw refused(
                    where,
                    lacks + ", but " + InputFiles.names(others),
                    isText ? TEXT_REMEDY : "Give one of these files");
        if (!pickles.isEmpty())
            throw refused(
                    where, lacks + ", but " + InputFiles.names(pickles) + ", a pickle, which is not read", CONVERT);
        throw refused(where, lacks, READ_ARE);
    }

    /** What stands before a name. */
    private static Set<String> prefixes(Collection<String> names, String name) {
        return names.stream()
                .filter(n -> n.equals(name) || n.endsWith("." + name))
                .map(n -> n.substring(0, n.length() - name.length()))
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    private static Map<String, String> same(Collection<String> names) {
        Map<String, String> all = new LinkedHashMap<>();
        for (String name : names) all.put(name, name);
        return all;
    }

    private static StableDiffusionFile part(
            SafeTensors t, String prefix, String naming, Function<Collection<String>, Map<String, String>> names) {
        List<String> inner = t.names().stream()
                .filter(n -> n.startsWith(prefix))
                .map(n -> n.substring(prefix.length()))
                .toList();
        List<String> notes = new ArrayList<>();
        Map<String, String> averages = averages(t, inner, prefix, notes);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        names.apply(inner).forEach((name, ours) -> {
            String whole = averages.getOrDefault(name, prefix + name);
            if (tensors.put(ours, new Tensor(t, t.entry(whole))) != null)
                throw refused(t.path(), "has two tensors for " + InputFiles.quote(ours), "Save the model anew");
        });
        return new StableDiffusionFile(t, naming, tensors, notes);
    }

    /**
     * The moving averages of the parameters in a single file that has all of them: the model that its authors evaluate.
     * Their names have no dots.
     */
    private static Map<String, String> averages(SafeTensors t, List<String> names, String prefix, List<String> notes) {
        if (!prefix.startsWith(MODEL)) return Map.of();
        Map<String, String> found = new LinkedHashMap<>();
        for (String name : names) {
            String average = EMA + (prefix + name).substring(MODEL.length()).replace(".", "");
            if (t.names().contains(average)) found.put(name, average);
        }
        if (found.isEmpty()) return found;
        if (found.size() < names.size()) {
            notes.add("warning: it has moving averages of " + found.size() + " of " + names.size()
                    + " tensors of its UNet: they are not read");
            return Map.of();
        }
        notes.add("its moving averages are read (" + EMA + "*), not the last values");
        return found;
    }

    /** Refuses the UNets of other versions. */
    private void requireFirst() {
        long in = dim("conv_in.weight", 1);
        if (in == 9) throw other("conv_in.weight", "is for inpainting: its UNet reads 9 channels");
        if (in == 8) throw other("conv_in.weight", "is InstructPix2Pix: its UNet reads 8 channels");
        if (in >= 0 && in != 4) throw other("conv_in.weight", "has a UNet that reads " + in + " channels, not 4");
        for (String name : tensors.keySet()) {
            long context = name.endsWith("attn2.to_k.weight") ? dim(name, 1) : -1;
            if (context == 2048) throw other(name, "is Stable Diffusion XL: its context is 2048 wide");
            boolean isLinear =
                    name.endsWith(".proj_in.weight") && tensor(name).entry.shape().length == 2;
            if (context == 1024 || isLinear)
                throw other(
                        name,
                        "is Stable Diffusion 2: "
                                + (isLinear
                                        ? "its transformers begin with linear layers"
                                        : "its context is 1024 wide"));
        }
    }

    private InputException other(String name, String what) {
        return refused(file.path(), what + " (tensor " + tensor(name).entry + ")", READ_ARE);
    }

    /** The tensor of a name that is there. */
    Tensor tensor(String name) {
        Tensor t = tensors.get(name);
        if (t == null) throw new IllegalArgumentException(name);
        return t;
    }

    private long dim(String name, int axis) {
        Tensor t = tensors.get(name);
        return t == null || t.entry.shape().length <= axis ? -1 : t.entry.shape()[axis];
    }
}
