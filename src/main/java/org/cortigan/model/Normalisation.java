// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.cortigan.config.Settings;

/**
 * Normalisation of colours: (x - mean) / std for each of red, green and blue, with x in 0..1.
 *
 * @param mean three numbers
 * @param std three numbers above 0
 */
public record Normalisation(List<Double> mean, List<Double> std) {
    /** Values of a recipe's key {@code preprocess}. */
    public enum Preset {
        /** What a pre-trained ViT needs, as far as its files tell; else the recipe's mean and std. */
        AUTO,
        /** The recipe's mean and std. */
        CUSTOM,
        /** timm's augreg ViTs and Google's. */
        AUGREG,
        /** DINO, DINOv2, DeiT and MAE: mean and deviation of ImageNet. */
        IMAGENET,
        /** CLIP (Radford et al. 2021). */
        CLIP
    }

    private static final Map<Preset, Normalisation> PRESETS = new EnumMap<>(Map.of(
            Preset.AUGREG,
            new Normalisation(List.of(0.5, 0.5, 0.5), List.of(0.5, 0.5, 0.5)),
            Preset.IMAGENET,
            new Normalisation(List.of(0.485, 0.456, 0.406), List.of(0.229, 0.224, 0.225)),
            Preset.CLIP,
            new Normalisation(
                    List.of(0.48145466, 0.4578275, 0.40821073), List.of(0.26862954, 0.26130258, 0.27577711))));

    /** The values of a preset that names some. */
    static Normalisation of(Preset preset) {
        return Objects.requireNonNull(PRESETS.get(preset), "no preset with values");
    }

    /** From the section {@code model.generator} of a recipe. */
    public static Normalisation of(Settings s) {
        Normalisation custom = new Normalisation(s.numbers("mean", 3), s.numbers("std", 3));
        for (double d : custom.std) if (d <= 0) throw s.wrong("std", d + " is not positive", "Give numbers above 0");
        return PRESETS.getOrDefault(preset(s), custom);
    }

    /** The key {@code preprocess}; checkpoints from before it have their own mean and std. */
    public static Preset preset(Settings s) {
        return s.has("preprocess") ? s.choice("preprocess", Preset.class) : Preset.CUSTOM;
    }

    /** The preset of these numbers, or the numbers. */
    @Override
    public String toString() {
        String preset = "";
        for (Map.Entry<Preset, Normalisation> p : PRESETS.entrySet())
            if (p.getValue().equals(this)) preset = " (" + p.getKey().name().toLowerCase(Locale.ROOT) + ")";
        return "mean " + mean + ", std " + std + preset;
    }
}
