// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.config.Settings;
import org.cortigan.model.Backbone;
import org.cortigan.model.DiscriminatorNetwork;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;

/** Describes a recipe in a few words, for tables. */
record RecipeSummary(Recipe recipe) {
    /** Whether the recipe trains discriminators. */
    boolean hasGan() {
        return recipe.section("loss").number("gan_weight", 0) > 0
                && !text("discriminator", "type").equals("none");
    }

    String model() {
        return Backbone.types().label(text("generator", "type"))
                + (text("generator", "readout").equals("diffusion") ? ", diffusion" : "");
    }

    String loss() {
        Settings loss = recipe.section("loss");
        List<String> terms = new ArrayList<>();
        String pixel = loss.text("pixel").toLowerCase(Locale.ROOT);
        if (loss.number("correlation_weight", 0) > 0) terms.add("correlation");
        if (loss.number("pixel_weight", 0) > 0)
            terms.add(Map.of("l1", "L1", "mse", "MSE", "smooth_l1", "smooth L1").getOrDefault(pixel, pixel));
        if (hasGan()) terms.add("GAN");
        return String.join(" + ", terms);
    }

    int epochs() {
        return recipe.section("train").integer("epochs", 1);
    }

    boolean isPretrained() {
        Settings train = recipe.section("train");
        return !train.text("init").isEmpty() || !train.text("init_unet").isEmpty();
    }

    /** @param count number of discriminators; null before a run has finished */
    String discriminators(@Nullable Long count) {
        if (!hasGan()) return "none";
        String type = text("discriminator", "type"), per = text("discriminator", "per");
        return (count == null ? "" : count + " ")
                + DiscriminatorNetwork.types().label(type)
                + (per.equals("all") ? ", all vertices" : ", per " + per)
                + (text("discriminator", "spectral_norm").equals("none") ? "" : ", spectral norm");
    }

    private String text(String section, String key) {
        return recipe.section("model").section(section).text(key).toLowerCase(Locale.ROOT);
    }
}
