// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.io.Json;
import org.cortigan.nn.Layers.MlpActivation;
import org.jspecify.annotations.Nullable;

/**
 * What the tensors of a pre-trained ViT do not tell: heads, epsilon, activation and colours. They are in the files that
 * timm, Hugging Face and OpenCLIP put beside the weights (config.json, preprocessor_config.json,
 * open_clip_config.json); what these lack is the library's default.
 *
 * @param heads 0 if nothing tells them
 * @param colours empty if nothing tells them
 */
record VitConfig(
        Told<Integer> heads, Told<Double> eps, Told<MlpActivation> activation, Optional<Told<Normalisation>> colours) {
    /** Width of an attention head in nearly all ViTs. */
    private static final int HEAD_WIDTH = 64;

    /**
     * A value and where it comes from.
     *
     * @param certain whether the value is the file's; otherwise it is a library's default
     */
    record Told<T>(T value, String source, boolean certain) {
        static <T> Told<T> sure(T value, String source) {
            return new Told<>(value, source, true);
        }

        static <T> Told<T> guess(T value, String source) {
            return new Told<>(value, source, false);
        }
    }

    /** A file beside the weights; empty if there is none. */
    record Beside(String name, Path file, Map<String, Object> values) {
        static Beside read(Path weights, String name) {
            Path file = weights.resolveSibling(name);
            return new Beside(name, file, Files.isRegularFile(file) ? Json.readObject(file) : Map.of());
        }

        /** The section of a key; an empty one if there is none. */
        Beside section(String key) {
            return new Beside(
                    name, file, values.get(key) instanceof Map<?, ?> m ? Json.object(m, file.toString()) : Map.of());
        }

        boolean has(String key) {
            return values.get(key) != null;
        }

        @Nullable
        Number number(String key) {
            return values.get(key) instanceof Number n ? n : null;
        }

        String text(String key) {
            return values.get(key) instanceof String s ? s : "";
        }

        /** Whether it describes weights of this width and depth; keys that it lacks do not contradict. */
        boolean fits(String widthKey, int width, String depthKey, int depth) {
            Number w = number(widthKey), d = number(depthKey);
            return (w == null || w.intValue() == width) && (d == null || d.intValue() == depth);
        }

        @Nullable
        Normalisation colours(String meanKey, String stdKey) {
            List<Double> mean = three(meanKey), std = three(stdKey);
            return mean.isEmpty() || std.isEmpty() ? null : new Normalisation(mean, std);
        }

        private List<Double> three(String key) {
            if (!has(key)) return List.of();
            List<Double> numbers = new ArrayList<>();
            if (values.get(key) instanceof List<?> list)
                for (Object o : list) if (o instanceof Number n) numbers.add(n.doubleValue());
            if (numbers.size() != 3 || key.contains("std") && numbers.stream().anyMatch(n -> n <= 0))
                throw new InputException(
                        file + ", key '" + key + "'",
                        "is no list of three numbers for red, green and blue"
                                + (key.contains("std") ? ", above 0" : ""),
                        "Correct it, or move the file away and give model.generator.mean and std");
            return numbers;
        }
    }

    /**
     * Reads the files beside the weights.
     *
     * @param width of the weights; files that describe another width or depth are of another model, and are not read
     * @param isClip whether a norm precedes the blocks
     * @param isDino whether the ViT has LayerScale or registers
     */
    static VitConfig read(Path weights, VitFamily family, int width, int depth, boolean isClip, boolean isDino) {
        Beside config = Beside.read(weights, "config.json"), open = Beside.read(weights, "open_clip_config.json");
        Beside vision = config.has("vision_config") ? config.section("vision_config") : config;
        Beside model = open.section("model_cfg"), tower = model.section("vision_cfg");
        Number heads = null, eps = null;
        String activation = "", source = config.name;
        Normalisation colours = null;
        String coloursFrom = "";
        if (family.isHuggingFace() && vision.fits("hidden_size", width, "num_hidden_layers", depth)) {
            heads = vision.number("num_attention_heads");
            eps = vision.number("layer_norm_eps");
            activation = vision.text("hidden_act");
            Beside processor = Beside.read(weights, "preprocessor_config.json");
            colours = Boolean.FALSE.equals(processor.values.get("do_normalize"))
                    ? new Normalisation(List.of(0.0, 0.0, 0.0), List.of(1.0, 1.0, 1.0))
                    : processor.colours("image_mean", "image_std");
            coloursFrom = processor.name;
        } else if (family == VitFamily.OPEN_CLIP
                && tower.fits("width", width, "layers", depth)
                && !tower.values.isEmpty()) {
            source = open.name;
            Number headWidth = tower.number("head_width");
            heads = width / (headWidth == null ? HEAD_WIDTH : Math.max(headWidth.intValue(), 1));
            activation = Boolean.TRUE.equals(model.values.get("quick_gelu")) ? "quick_gelu" : "gelu";
            colours = open.section("preprocess_cfg").colours("mean", "std");
            coloursFrom = open.name;
        } else if (family == VitFamily.TIMM
                && config.has("architecture")
                && config.fits("num_features", width, "depth", depth)) {
            String architecture = config.text("architecture");
            eps = architecture.contains("clip") ? 1e-5 : 1e-6;
            activation = timmActivation(
                    architecture, config.section("pretrained_cfg").text("tag"));
            heads = config.section("model_args").number("num_heads");
            Beside pretrained = config.has("pretrained_cfg") ? config.section("pretrained_cfg") : config;
            colours = pretrained.colours("mean", "std");
            coloursFrom = config.name;
        }
        return new VitConfig(
                heads != null && heads.intValue() > 0
                        ? Told.sure(heads.intValue(), source)
                        : Told.guess(
                                width % HEAD_WIDTH == 0 ? width / HEAD_WIDTH : 0,
                                "no file beside tells: " + HEAD_WIDTH + " numbers a head"),
                eps != null ? Told.sure(eps.doubleValue(), source) : defaultEps(family, isClip),
                activation.isEmpty()
                        ? defaultActivation(family, isClip)
                        : Told.sure(activation(weights.resolveSibling(source), activation), source),
                colours != null
                        ? Optional.of(Told.sure(colours, coloursFrom))
                        : defaultColours(family, isClip, isDino));
    }

    private static MlpActivation activation(Path file, String name) {
        return switch (name) {
            case "gelu" -> MlpActivation.GELU;
            case "quick_gelu" -> MlpActivation.QUICK_GELU;
            default ->
                throw new InputException(
                        file.toString(),
                        "names the activation '" + name + "', which CortiGAN's ViT does not have",
                        "Use a ViT with gelu or quick_gelu");
        };
    }

    /**
     * Timm's hub names CLIPs by the architecture without quick GELU, whatever they were trained with; the tag says
     * whose weights they are.
     *
     * @return "" if that does not tell
     */
    private static String timmActivation(String architecture, String tag) {
        if (architecture.contains("quickgelu") || architecture.contains("clip") && tag.equals("openai"))
            return "quick_gelu";
        boolean isGelu = !architecture.contains("clip") || tag.matches("(laion2b|datacomp|openai_ft).*");
        return isGelu ? "gelu" : "";
    }

    private static Told<Double> defaultEps(VitFamily family, boolean isClip) {
        return switch (family) {
            case DINOV2 -> Told.sure(1e-6, "all of this family");
            case HF_CLIP, OPEN_CLIP -> Told.sure(1e-5, "all of this family");
            case HF_DINOV2 -> Told.guess(1e-6, "its library's default");
            case HF_VIT -> Told.guess(1e-12, "its library's default");
            case TIMM -> Told.guess(isClip ? 1e-5 : 1e-6, "its library's default");
        };
    }

    private static Told<MlpActivation> defaultActivation(VitFamily family, boolean isClip) {
        if (!isClip) return Told.sure(MlpActivation.GELU, "all of this family");
        return Told.guess(
                family == VitFamily.HF_CLIP ? MlpActivation.QUICK_GELU : MlpActivation.GELU, "its library's default");
    }

    private static Optional<Told<Normalisation>> defaultColours(VitFamily family, boolean isClip, boolean isDino) {
        if (isClip) return Optional.of(Told.sure(Normalisation.of(Normalisation.Preset.CLIP), "all of CLIP"));
        boolean dino = family == VitFamily.DINOV2 || family == VitFamily.HF_DINOV2 || isDino;
        return dino
                ? Optional.of(Told.sure(
                        Normalisation.of(Normalisation.Preset.IMAGENET), "all of DINOv2 and its kin with LayerScale"))
                : Optional.empty();
    }
}
