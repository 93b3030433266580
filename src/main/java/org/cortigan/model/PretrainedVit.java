// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;

/**
 * Parameters of a Vision Transformer from a safetensors file of timm, DINOv2's authors, Hugging Face or OpenCLIP.
 * Position embeddings of another grid are interpolated as that library does.
 */
public final class PretrainedVit {
    private static final String VIT = "model.generator.vit.";

    /** Name of the weight [context, C] between tokens of C channels and the UNet of a readout that denoises. */
    private static final String CONDITION = Generator.PREFIX + Diffusion.CONDITION + ".proj.weight";

    private PretrainedVit() {}

    /**
     * What a recipe needs to have the ViT of a file.
     *
     * @param keys values by their path below {@code model.generator}; without heads or colours where nothing tells them
     * @param image side of the photographs that the ViT was trained on, in pixels
     * @param text what the file holds
     */
    public record Form(Map<String, Object> keys, int patch, int depth, int image, String text) {}

    /**
     * The form of the ViT in a file.
     *
     * @throws InputException if the file holds no ViT that can be read
     */
    public static Form form(Path file) {
        VitFile f = VitFile.read(file);
        Map<String, Object> keys = new LinkedHashMap<>();
        keys.put("type", "vit");
        keys.put("vit.embed", "pixels");
        keys.put("vit.size", "custom");
        keys.put("vit.width", f.width());
        keys.put("vit.depth", f.depth());
        if (f.config().heads().value() > 0)
            keys.put("vit.heads", f.config().heads().value());
        keys.put("vit.patch", f.patch());
        keys.put("vit.mlp_ratio", number(f.mlpRatio()));
        keys.put("vit.registers", f.registers());
        keys.put("vit.layer_scale", f.layerScale());
        keys.put("vit.pre_norm", f.preNorm());
        keys.put("vit.activation", lower(f.config().activation().value()));
        keys.put("vit.norm_eps", f.config().eps().value());
        f.colours().ifPresent(c -> {
            keys.put("mean", c.value().mean());
            keys.put("std", c.value().std());
        });
        return new Form(keys, f.patch(), f.depth(), f.nativeImage(), f.toString());
    }

    /** The colours that the ViT in a file was trained on; empty if neither it nor a file beside it tells. */
    public static Optional<Normalisation> colours(Path file) {
        return VitFile.read(file).colours().map(VitConfig.Told::value);
    }

    /**
     * The values of all parameters of the ViT; none of readout and head. The file stays mapped until nothing can read
     * them any more.
     *
     * @throws InputException if the generator is no ViT, or the file holds none or another one; the message then has
     *     every value of the recipe that differs
     */
    public static InitialValues load(Path file, ModelConfig model) {
        VitFile f = VitFile.read(file);
        Generator g = model.generator();
        Backbone b = g.backbone();
        if (!(b instanceof Vit vit))
            throw new InputException(
                    file.toString(),
                    "holds a ViT, but the generator is of type " + b.type().name(),
                    "Set model.generator.type to vit, or give the file to --backbone");
        if (vit.embed() != Embed.PIXELS)
            throw new InputException(
                    file.toString(),
                    "holds a ViT that reads pixels, but the generator's reads the energies of Gabor wavelets",
                    "Set model.generator.vit.embed to pixels");
        requireFit(f, g, vit);
        int grid = g.image() / vit.patch();
        Map<String, Supplier<float[]>> values = new LinkedHashMap<>();
        SafeTensors t = SafeTensors.open(file);
        List<Weights.Spec> specs = model.generatorWeights(DType.F32).specs();
        for (Weights.Spec s : specs) {
            String name = s.name().substring(Generator.PREFIX.length());
            if (Lora.isUpdate(name) || VitFamily.TIMM.names(name).isEmpty()) continue; // not a file's
            values.put(s.name(), () -> value(t, f, name, grid, (int) s.shape().elements()));
        }
        InitialValues own = new InitialValues(values, notes(f, g, vit, grid));
        return reads(vit, f.depth()) ? own.and(projection(t, f, specs)) : own;
    }

    /** Whether the readout reads the last block alone. */
    private static boolean reads(Vit vit, int block) {
        return vit.layers().isEmpty() || vit.layers().equals(List.of(block));
    }

    /**
     * The values of the layers between the tokens of a CLIP and a readout that denoises, as far as they fit: CLIP's
     * projection of the image to the space that it shares with texts, which Stable Diffusion's UNet attends to. The
     * layer after that leaves it as it is.
     */
    static InitialValues projection(SafeTensors t, VitFile f, List<Weights.Spec> specs) {
        Map<String, Weights.Spec> all = new LinkedHashMap<>();
        for (Weights.Spec s : specs) all.put(s.name(), s);
        Weights.Spec condition = all.get(CONDITION), tokens = all.get(tokens(f, "weight"));
        String name = f.ignored().stream()
                .filter(n -> n.matches("(.*\\.)?visual_projection\\.weight|(.*\\.)?visual\\.proj|proj"))
                .findFirst()
                .orElse("");
        if (condition == null || name.isEmpty()) return InitialValues.NONE;
        boolean turned = name.endsWith("proj"); // OpenAI multiplies by it from the right.
        Weights.Spec first = tokens == null ? condition : tokens;
        int[] d = first.shape().dims();
        long[] want = turned ? new long[] {d[1], d[0]} : new long[] {d[0], d[1]},
                found = t.entry(name).shape();
        if (!Arrays.equals(found, want))
            return new InitialValues(
                    Map.of(),
                    List.of("its projection " + t.entry(name) + " does not fit the recipe's, " + Arrays.toString(d)
                            + ", which begins at random; model.generator.features and model.generator.sd_unet.context"
                            + " set its sizes"));
        Map<String, Supplier<float[]>> values = new LinkedHashMap<>();
        values.put(first.name(), () -> turned ? transposed(t.finite(name), d[0]) : t.finite(name));
        if (tokens != null) {
            Weights.Spec bias = all.get(tokens(f, "bias"));
            if (bias != null) values.put(bias.name(), () -> new float[d[0]]);
            if (condition.shape().dim(0) == condition.shape().dim(1))
                values.put(CONDITION, () -> identity(condition.shape().dim(0)));
        }
        return new InitialValues(
                values, List.of("its projection " + t.entry(name) + " begins the condition of the UNet"));
    }

    /** Name of a parameter of the layer that reads the tokens after the last block. */
    private static String tokens(VitFile f, String parameter) {
        return Generator.PREFIX + "readout." + f.depth() + "." + parameter;
    }

    private static float[] identity(int n) {
        float[] x = new float[n * n];
        for (int i = 0; i < n; i++) x[i * n + i] = 1;
        return x;
    }

    /** The matrix [rows, n] from its transpose [n, rows]. */
    private static float[] transposed(float[] x, int rows) {
        float[] y = new float[x.length];
        int n = x.length / rows;
        for (int r = 0; r < rows; r++) for (int i = 0; i < n; i++) y[r * n + i] = x[i * rows + r];
        return y;
    }

    private static float[] value(SafeTensors t, VitFile f, String name, int grid, int elements) {
        if (!f.sources().containsKey(name)) throw new IllegalStateException(name + " has no source");
        float[] x = joined(t, f, name, elements);
        int before = f.tokensWithPositions(), e = f.width();
        if (name.equals("reg_token") && before > 1) { // registers with positions
            float[] positions = joined(t, f, "pos_embed", f.positions() * e);
            for (int i = 0; i < x.length; i++) x[i] += positions[e + i];
        }
        if (!name.equals("pos_embed")) return x;
        float[] patches = grid == f.gridSide()
                ? Arrays.copyOfRange(x, before * e, x.length)
                : PositionGrid.resample(x, before * e, f.gridSide(), grid, e, f.resampling());
        float[] all = new float[e + patches.length];
        if (before > 0) System.arraycopy(x, 0, all, 0, e);
        System.arraycopy(patches, 0, all, e, patches.length);
        return all;
    }

    /** The tensors of a parameter, one behind the other; zeros if it has none. */
    private static float[] joined(SafeTensors t, VitFile f, String name, int elements) {
        List<String> from = f.sources().getOrDefault(name, List.of());
        if (from.isEmpty()) return new float[elements];
        if (from.size() == 1) return t.finite(from.get(0));
        float[] all = new float[elements];
        int at = 0;
        for (String part : from) {
            float[] x = t.finite(part);
            System.arraycopy(x, 0, all, at, x.length);
            at += x.length;
        }
        return all;
    }

    /** One message has all that differs, and the options that mend it. */
    private static void requireFit(VitFile f, Generator g, Vit vit) {
        Layers.Encoder e = vit.encoder();
        VitConfig config = f.config();
        int heads = config.heads().certain() ? config.heads().value() : e.heads();
        List<String> options = new ArrayList<>();
        if (f.width() != vit.width() || f.depth() != e.depth() || heads != e.heads()) {
            int of = f.width() == vit.width() || config.heads().certain()
                    ? heads
                    : config.heads().value();
            String size = Vit.sizeOf(f.width(), f.depth(), of);
            options.add("size=" + size);
            if (size.equals("custom"))
                options.addAll(List.of(
                        "width=" + f.width(), "depth=" + f.depth(), "heads=" + (of > 0 ? of : "(a divisor of it)")));
        }
        if (f.patch() != vit.patch()) options.add("patch=" + f.patch());
        if (Math.round(vit.width() * e.mlpRatio()) * f.width() != (long) f.hidden() * vit.width())
            options.add("mlp_ratio=" + number(f.mlpRatio()));
        if (f.registers() != vit.registers()) options.add("registers=" + f.registers());
        if (f.layerScale() != e.layerScale()) options.add("layer_scale=" + f.layerScale());
        if (f.preNorm() != vit.preNorm()) options.add("pre_norm=" + f.preNorm());
        if (config.activation().certain() && config.activation().value() != e.activation())
            options.add("activation=" + lower(config.activation().value()));
        if (config.eps().certain() && config.eps().value() != e.eps())
            options.add("norm_eps=" + config.eps().value());
        if (options.isEmpty()) return;
        String all = options.stream().map(o -> "-o " + VIT + o).collect(Collectors.joining(" "));
        throw new InputException(
                f.path().toString(),
                "holds " + f + ". The recipe's ViT is another",
                "Give " + all
                        + (g.image() % f.patch() == 0
                                ? ""
                                : " -o model.generator.image=" + Math.max(1, g.image() / f.patch()) * f.patch())
                        + ", or --backbone with this file, which sets them");
    }

    private static List<String> notes(VitFile f, Generator g, Vit vit, int grid) {
        List<String> notes = new ArrayList<>();
        notes.add(f.path() + ": " + f + "; " + colours(f, g.normalisation()));
        if (!f.prefix().isEmpty()) notes.add("its names begin with " + InputFiles.quote(f.prefix()));
        if (!f.zeros().isEmpty()) notes.add("it has no " + String.join(", ", f.zeros()) + ": zero");
        if (!f.ignored().isEmpty()) notes.add(ForeignFile.notNeeded(f.ignored()));
        if (grid != f.gridSide())
            notes.add("positions interpolated from " + f.gridSide() + " x " + f.gridSide() + " to " + grid + " x "
                    + grid + " patches, as " + f.family().label.substring(2) + " are by their library");
        VitConfig config = f.config();
        doubt(
                notes,
                "heads",
                config.heads(),
                vit.encoder().heads(),
                config.heads().value() > 0);
        doubt(notes, "norm_eps", config.eps(), vit.encoder().eps(), true);
        doubt(notes, "activation", config.activation(), vit.encoder().activation(), true);
        if (!config.activation().certain()
                && config.activation().value() == vit.encoder().activation())
            notes.add("no file beside the weights tells the activation of this CLIP: "
                    + lower(vit.encoder().activation())
                    + " is taken; OpenAI's needs -o " + VIT + "activation=quick_gelu, LAION's gelu");
        return notes;
    }

    private static <T> void doubt(List<String> notes, String key, VitConfig.Told<T> told, T recipe, boolean known) {
        if (known && !told.certain() && !told.value().equals(recipe))
            notes.add("warning: " + key + " is the recipe's " + lower(recipe) + ". No file beside the weights tells"
                    + " theirs; it is probably " + lower(told.value()) + ": -o " + VIT + key + "="
                    + lower(told.value()));
    }

    private static String colours(VitFile f, Normalisation recipe) {
        Optional<VitConfig.Told<Normalisation>> told = f.colours();
        if (told.isEmpty())
            return "colours with " + recipe + ", as the recipe says: neither the file nor one beside it tells";
        Normalisation own = told.get().value();
        if (own.equals(recipe))
            return "colours with " + recipe + ", by " + told.get().source();
        return "colours with " + recipe + ". warning: the ViT was trained with " + own + ", by "
                + told.get().source() + "; -o model.generator.preprocess=auto takes these";
    }

    private static String lower(Object value) {
        return value.toString().toLowerCase(Locale.ROOT);
    }

    /** Whole numbers without a point. */
    private static Number number(double x) {
        return x == Math.rint(x) ? (Number) (int) x : (Number) x;
    }
}
