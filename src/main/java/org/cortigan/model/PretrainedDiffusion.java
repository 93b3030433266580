// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.io.InputFiles;
import org.cortigan.model.StableDiffusionFile.Tensor;
import org.cortigan.nn.Autoencoder;
import org.cortigan.nn.DenoisingUNet;
import org.cortigan.nn.Weights;
import org.jspecify.annotations.Nullable;

/**
 * Initial values from files of Stable Diffusion 1.x: for the UNet of the readout diffusion, or for UNet, VAE and
 * learned tokens of the backbone {@code sd}. Their parameters have diffusers' names.
 */
public final class PretrainedDiffusion {
    /** Names below {@link Generator#PREFIX}: the readout's UNet, and the backbone's UNet and VAE. */
    private static final String DENOISER = Diffusion.DENOISER + ".",
            UNET = StableDiffusion.UNET + ".",
            VAE = StableDiffusion.VAE + ".";

    /** What the readout adds to every cell of its grid. */
    private static final String POSITION = Generator.PREFIX + Diffusion.CELLS + ".position";

    private static final String SD_UNET = "model.generator." + DenoisingUNet.SECTION + ".",
            CONV_IN = "conv_in.",
            CONV_OUT = "conv_out.";

    /** Channels of Stable Diffusion 1.x, whose heads and groups are known without a file beside. */
    private static final List<Long> CHANNELS =
            DenoisingUNet.SD1.channels().stream().map(Integer::longValue).toList();

    private final List<Weights.Spec> specs;
    private final Map<String, Supplier<float[]>> values = new LinkedHashMap<>();
    private final List<String> notes = new ArrayList<>();
    /** The tensors that are not read, by file. */
    private final Map<Path, Set<String>> unread = new LinkedHashMap<>();

    private PretrainedDiffusion(List<Weights.Spec> specs) {
        this.specs = specs;
    }

    /** Whether a generator's backbone takes its initial values from such files. */
    public static boolean isBackbone(Generator g) {
        return g.backbone() instanceof StableDiffusion;
    }

    /** Whether a path is a folder of diffusers. */
    public static boolean isFolder(Path path) {
        return StableDiffusionFile.isFolder(path);
    }

    /**
     * Values for the UNet of the readout diffusion. Its interface begins with that of the file: the vertices'
     * embeddings have in each channel the norm of the first convolution's weights, so that noise gives a channel the
     * variance that the convolution gives it; the positions begin with its bias. The last convolution has no place.
     *
     * @param seed of the run, which the embeddings' directions come from
     * @throws InputException if the readout is another, or the files do not fit it
     */
    public static InitialValues readout(Path path, ModelConfig model, long seed) {
        List<Weights.Spec> specs = specs(model);
        if (specs.stream().noneMatch(s -> s.name().startsWith(Generator.PREFIX + DENOISER)))
            throw new InputException(
                    "key 'train.init_unet'",
                    path + " is for the UNet of the readout diffusion, and the recipe has another readout",
                    "Set model.generator.readout to diffusion, or give it to train.init with a generator of type sd");
        return new PretrainedDiffusion(specs).ofReadout(path, unetSettings(model), seed);
    }

    /**
     * Values for UNet and VAE of the backbone {@code sd}, and for its tokens if they are as many as those of a text:
     * the state of the text encoder for the empty prompt, which the UNet attends to where it is not guided.
     *
     * @throws InputException if the files do not fit it
     */
    public static InitialValues backbone(Path path, ModelConfig model) {
        return new PretrainedDiffusion(specs(model)).ofBackbone(path, unetSettings(model), ClipText.SD1);
    }

    private static List<Weights.Spec> specs(ModelConfig model) {
        return model.generatorWeights(DType.F32).specs();
    }

    private static Settings unetSettings(ModelConfig model) {
        return model.settings().section("generator").section(DenoisingUNet.SECTION);
    }

    /** @param unet the recipe's section {@code sd_unet}, for what tensors do not tell */
    static InitialValues readout(Path path, List<Weights.Spec> specs, Settings unet, long seed) {
        return new PretrainedDiffusion(specs).ofReadout(path, unet, seed);
    }

    /** @param clip form of the text encoder */
    static InitialValues backbone(Path path, List<Weights.Spec> specs, Settings unet, ClipText clip) {
        return new PretrainedDiffusion(specs).ofBackbone(path, unet, clip);
    }

    private InitialValues ofReadout(Path path, Settings settings, long seed) {
        StableDiffusionFile unet = StableDiffusionFile.unet(path);
        Map<String, Weights.Spec> wanted = wanted(DENOISER);
        wanted.keySet().removeIf(PretrainedDiffusion::isInterface); // Plain convolutions have other channels.
        take(unet, "UNet", wanted, settings, PretrainedDiffusion::isInterface);
        beginInterface(unet, seed);
        return result();
    }

    private InitialValues ofBackbone(Path path, Settings settings, ClipText clip) {
        StableDiffusionFile unet = StableDiffusionFile.unet(path);
        Map<String, Weights.Spec> wanted = wanted(UNET), ofVae = wanted(VAE);
        if (ofVae.isEmpty())
            throw new InputException(
                    path.toString(),
                    "holds a UNet that reads the latents of a VAE, and the recipe's reads patches of pixels",
                    "Set model.generator.sd.latent to vae");
        take(unet, "UNet", wanted, settings, name -> isBeyond(name, wanted.keySet()));
        StableDiffusionFile vae = StableDiffusionFile.vae(path);
        requireScale(vae);
        take(vae, "VAE", ofVae, settings, name -> !name.startsWith("encoder.") && !name.startsWith("quant_conv."));
        beginTokens(path, clip);
        return result();
    }

    private InitialValues result() {
        unread.values().stream()
                .filter(names -> !names.isEmpty())
                .forEach(names -> notes.add(ForeignFile.notNeeded(names)));
        return new InitialValues(values, notes);
    }

    private Map<String, Weights.Spec> wanted(String part) {
        String prefix = Generator.PREFIX + part;
        Map<String, Weights.Spec> all = new LinkedHashMap<>();
        for (Weights.Spec s : specs)
            if (s.name().startsWith(prefix)) all.put(s.name().substring(prefix.length()), s);
        return all;
    }

    private static boolean isInterface(String name) {
        return name.startsWith(CONV_IN) || name.startsWith(CONV_OUT);
    }

    /** Whether a UNet that is read before its end has no place for a tensor. */
    private static boolean isBeyond(String name, Set<String> wanted) {
        int last = wanted.stream().mapToInt(PretrainedDiffusion::levelUp).max().orElse(-1);
        int level = levelUp(name);
        return level > last
                || level == last && name.contains(".upsamplers.")
                || name.startsWith("conv_norm_out.")
                || name.startsWith(CONV_OUT);
    }

    /** The level on the way up, from 0; -1 for what is not on it. */
    private static int levelUp(String name) {
        return name.matches("up_blocks\\.\\d{1,4}\\..*") ? Integer.parseInt(name.split("\\.")[1]) : -1;
    }

    /**
     * Checks that a file has all that is wanted in its shape, and nothing else; the values can then be read.
     *
     * @param spare what the model has no place for and does not need
     */
    private void take(
            StableDiffusionFile f,
            String what,
            Map<String, Weights.Spec> wanted,
            Settings settings,
            Predicate<String> spare) {
        if (what.equals("UNet")) requireForm(f, wanted, settings);
        requireNames(f, "the recipe's " + what, wanted.keySet(), spare, StableDiffusionFile.READ_ARE);
        wanted.forEach((name, spec) -> values.put(spec.name(), reader(f, name, spec)));
        Path file = f.file().path();
        notes.add(
                file + ": the " + what + " of Stable Diffusion" + (f.naming().isEmpty() ? "" : ", with " + f.naming()));
        notes.addAll(f.notes());
    }

    private static void requireNames(
            StableDiffusionFile f, String what, Set<String> wanted, Predicate<String> spare, String remedy) {
        List<String> missing =
                wanted.stream().filter(n -> !f.tensors().containsKey(n)).toList();
        if (!missing.isEmpty()) throw lacks(f, what, missing, wanted.size(), remedy);
        List<String> others = f.tensors().keySet().stream()
                .filter(n -> !wanted.contains(n) && !spare.test(n))
                .toList();
        if (!others.isEmpty())
            throw new InputException(
                    f.file().path().toString(),
                    "has tensors for which " + what + " has no place (" + others.size() + "): "
                            + ForeignFile.examples(others),
                    remedy);
    }

    private Supplier<float[]> reader(StableDiffusionFile f, String name, Weights.Spec spec) {
        Tensor t = f.tensor(name);
        long[] want = Arrays.stream(spec.shape().dims()).asLongStream().toArray();
        if (!Arrays.equals(t.shape(), want)) throw unfit(f, t, Arrays.toString(want));
        markRead(f, t);
        return t::read;
    }

    private static InputException unfit(StableDiffusionFile f, Tensor t, String want) {
        return unfit(
                f,
                t,
                "the recipe's network needs " + want,
                "Set the keys below model.generator.sd_unet and model.generator.sd to the file's sizes, or give"
                        + " another file");
    }

    private static InputException unfit(StableDiffusionFile f, Tensor t, String needs, String remedy) {
        return new InputException(
                f.file().path() + ", tensor " + InputFiles.quote(t.entry().name()),
                "has the shape " + Arrays.toString(t.entry().shape()) + ", but " + needs,
                remedy);
    }

    private static InputException lacks(
            StableDiffusionFile f, String what, List<String> missing, int of, String remedy) {
        return new InputException(
                f.file().path().toString(),
                "lacks " + missing.size() + " of the " + of + " tensors of " + what + ", for example "
                        + InputFiles.quote(missing.get(0)) + " by diffusers' names",
                ForeignFile.remedyForParts(
                        f.file().path(),
                        remedy.equals(StableDiffusionFile.TEXT_REMEDY) ? remedy : StableDiffusionFile.JOIN,
                        remedy + ", and the whole"));
    }

    /** Refuses a type of numbers that is not read. */
    private void markRead(StableDiffusionFile f, Tensor t) {
        f.file().requireReadable(t.entry().name());
        unread.computeIfAbsent(
                        f.file().path(), k -> new LinkedHashSet<>(f.file().names()))
                .remove(t.entry().name());
    }

    /** The form of a UNet, as far as names and shapes tell it. */
    private record Form(List<Long> channels, int blocks, int attentionLevels, long context) {
        static Form of(Map<String, long[]> shapes) {
            List<Long> channels = new ArrayList<>();
            for (long[] s = shapes.get(resnet(0, 0)); s != null; s = shapes.get(resnet(channels.size(), 0)))
                channels.add(s[0]);
            int blocks = count(i -> resnet(0, i), shapes),
                    levels = count(i -> "down_blocks." + i + ".attentions.0.norm.weight", shapes);
            long context = shapes.entrySet().stream()
                    .filter(e -> e.getKey().endsWith("attn2.to_k.weight"))
                    .mapToLong(e -> e.getValue()[e.getValue().length - 1])
                    .findFirst()
                    .orElse(0);
            return new Form(channels, blocks, levels, context);
        }

        private static String resnet(int level, int block) {
            return "down_blocks." + level + ".resnets." + block + ".conv1.bias";
        }

        private static int count(IntFunction<String> name, Map<String, long[]> shapes) {
            return (int) IntStream.iterate(0, i -> i + 1)
                    .takeWhile(i -> shapes.containsKey(name.apply(i)))
                    .count();
        }

        /** The assignments below sd_unet that make {@code other} this form. */
        List<String> differences(Form other) {
            List<String> all = new ArrayList<>();
            if (!channels.equals(other.channels))
                all.add("channels=" + channels.toString().replace(" ", ""));
            if (blocks != other.blocks) all.add("blocks=" + blocks);
            if (attentionLevels != other.attentionLevels) all.add("attention_levels=" + attentionLevels);
            if (context != other.context) all.add("context=" + context);
            return all;
        }
    }

    /** One message has all that differs, and the options that mend it. */
    private static void requireForm(StableDiffusionFile f, Map<String, Weights.Spec> wanted, Settings settings) {
        Map<String, long[]> file = new LinkedHashMap<>(), recipe = new LinkedHashMap<>();
        f.tensors().forEach((name, t) -> {
            if (t.shape().length > 0) file.put(name, t.shape());
        });
        wanted.forEach((name, s) ->
                recipe.put(name, Arrays.stream(s.shape().dims()).asLongStream().toArray()));
        Form form = Form.of(file);
        List<String> options = new ArrayList<>(form.differences(Form.of(recipe)));
        VitConfig.Beside config = VitConfig.Beside.read(f.file().path(), "config.json");
        boolean isFirst = form.channels.equals(CHANNELS);
        // The key attention_head_dim of Stable Diffusion 1.x has the number of heads.
        Number heads = config.has("num_attention_heads")
                ? config.number("num_attention_heads")
                : config.number("attention_head_dim");
        addIfOther(options, "heads", heads, isFirst ? DenoisingUNet.SD1.heads() : 0, settings);
        addIfOther(
                options,
                "groups",
                config.number("norm_num_groups"),
                isFirst ? DenoisingUNet.SD1.groups() : 0,
                settings);
        if (options.isEmpty()) return;
        throw new InputException(
                f.file().path().toString(),
                "holds a UNet of another form than the recipe's: channels " + form.channels + ", " + form.blocks
                        + " blocks, attention at " + form.attentionLevels + " levels, context " + form.context,
                "Give " + options.stream().map(o -> "-o " + SD_UNET + o).collect(Collectors.joining(" ")));
    }

    /**
     * @param told by a file beside; null if there is none
     * @param known 0 if it is not known
     */
    private static void addIfOther(
            List<String> options, String key, @Nullable Number told, int known, Settings settings) {
        int value = told != null ? told.intValue() : known;
        if (value > 0 && settings.has(key) && settings.integer(key, 1) != value) options.add(key + "=" + value);
    }

    private static void requireScale(StableDiffusionFile vae) {
        Number scale = VitConfig.Beside.read(vae.file().path(), "config.json").number("scaling_factor");
        if (scale != null && scale.doubleValue() != Autoencoder.SCALE)
            throw new InputException(
                    vae.file().path().resolveSibling("config.json") + ", key 'scaling_factor'",
                    "is " + scale + ", but the VAE of Stable Diffusion 1.x has " + Autoencoder.SCALE,
                    StableDiffusionFile.READ_ARE);
    }

    /** The start of the learned tokens, if they are as many as those of a text. */
    private void beginTokens(Path path, ClipText clip) {
        String name = Generator.PREFIX + StableDiffusion.TOKEN;
        Optional<Weights.Spec> tokens = specs.stream()
                .filter(s -> s.name().equals(name) && s.shape().dim(0) == clip.tokens())
                .findFirst();
        if (tokens.isEmpty()) return;
        StableDiffusionFile f = StableDiffusionFile.text(path);
        if (f == null) {
            notes.add("warning: " + path + " has no text encoder: the " + clip.tokens()
                    + " tokens that the UNet attends to begin at random. " + StableDiffusionFile.TEXT_REMEDY);
            return;
        }
        Map<String, long[]> shapes = clip.shapes();
        requireNames(
                f,
                "the text encoder of Stable Diffusion 1",
                shapes.keySet(),
                "embeddings.position_ids"::equals,
                StableDiffusionFile.TEXT_REMEDY);
        shapes.forEach((tensor, shape) -> {
            Tensor t = f.tensor(tensor);
            if (!Arrays.equals(t.shape(), shape))
                throw unfit(
                        f,
                        t,
                        "that of Stable Diffusion 1 has " + Arrays.toString(shape),
                        StableDiffusionFile.TEXT_REMEDY);
            markRead(f, t);
        });
        if (tokens.get().shape().dim(1) != clip.width())
            throw new InputException(
                    f.file().path().toString(),
                    "gives tokens of " + clip.width() + " numbers, but the UNet attends to tokens of "
                            + tokens.get().shape().dim(1),
                    "Set model.generator.sd.tokens to 1");
        values.put(name, () -> clip.state(f.tensors(), clip.empty()));
        notes.add(f.file().path() + ": the text encoder of Stable Diffusion; the " + clip.tokens()
                + " tokens that the UNet attends to begin with its state for the empty prompt");
    }

    /** The start of embeddings [V, K] and positions [cells, K] of the readout, if it has them. */
    private void beginInterface(StableDiffusionFile f, long seed) {
        List<Weights.Spec> embeddings = specs.stream()
                .filter(s -> Generator.isReadout(s) && s.name().endsWith(".embedding"))
                .toList();
        if (embeddings.isEmpty()) return;
        Tensor weight = first(f, "weight", embeddings), bias = first(f, "bias", embeddings);
        float[] norms = norms(weight.read(), (int) weight.shape()[0]);
        for (Weights.Spec s : embeddings)
            values.put(s.name(), () -> {
                float[] x = s.init().make(s.shape(), seed, s.name());
                for (int i = 0; i < x.length; i++) x[i] *= norms[i % norms.length];
                return x;
            });
        for (Weights.Spec s : specs)
            if (s.name().equals(POSITION))
                values.put(s.name(), () -> {
                    float[] row = bias.read(), x = new float[(int) s.shape().elements()];
                    for (int i = 0; i < x.length; i++) x[i] = row[i % row.length];
                    return x;
                });
        notes.add("the embeddings of the vertices begin with the norms of its first convolution");
    }

    /** A tensor of the first convolution, which must have the channels of the embeddings. */
    private Tensor first(StableDiffusionFile f, String kind, List<Weights.Spec> embeddings) {
        String name = CONV_IN + kind;
        Tensor t = f.tensors().get(name);
        if (t == null) throw lacks(f, "the recipe's UNet", List.of(name), 2, StableDiffusionFile.READ_ARE);
        int channels = embeddings.get(0).shape().dim(1);
        if (t.shape().length == 0 || t.shape()[0] != channels)
            throw unfit(f, t, "[" + channels + (kind.equals("bias") ? "]" : ", 4, 3, 3]"));
        markRead(f, t);
        return t;
    }

    /** The norm of each row of a matrix. */
    private static float[] norms(float[] x, int rows) {
        float[] norms = new float[rows];
        int columns = x.length / rows;
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int c = 0; c < columns; c++) sum += (double) x[r * columns + c] * x[r * columns + c];
            norms[r] = (float) Math.sqrt(sum);
        }
        return norms;
    }
}
