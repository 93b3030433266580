// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RecipeTest {
    @TempDir
    Path dir;

    private static List<String> unused(Recipe r) {
        List<String> said = new ArrayList<>();
        r.tellUnused(said::add);
        return said;
    }

    private Recipe file(String yaml) throws IOException {
        return Recipe.load(Files.writeString(dir.resolve("mine.yaml"), yaml).toString());
    }

    @Test
    void valuesOfANetworkThatIsNotUsedAreTold() throws IOException {
        String type = "because model.generator.type is gabor";
        assertEquals(
                List.of("warning: recipe mine: model.generator.vit.patch, model.generator.vit.depth have no effect, "
                        + type),
                unused(file("base: quickstart\nmodel: {generator: {patch: 8, depth: 2}}\n")));
        assertEquals(
                List.of("warning: recipe quickstart: model.generator.vit.depth has no effect, " + type),
                unused(Recipe.load("quickstart").with(List.of("model.generator.vit.depth=2"))));
        assertEquals(
                List.of("warning: recipe mine: model.discriminator.mlp.hidden has no effect, because"
                        + " model.discriminator.type is none"),
                unused(file("model: {discriminator: {type: none, mlp: {hidden: [7]}}}\n")));
        assertEquals(
                List.of("warning: recipe mine: model.generator.diffusion.grid, model.generator.sd_unet.blocks have no"
                        + " effect, because model.generator.readout is dense"),
                unused(file("model: {generator: {diffusion: {grid: 8}, sd_unet: {blocks: 1}}}\n")));
    }

    /** The UNet of the backbone sd has the rate of the backbone. */
    @Test
    void aRateOfTheUnetNeedsAReadoutThatDenoises() throws IOException {
        for (String recipe : List.of("vit-gan-tiny", "sd-features-tiny")) {
            Recipe r = Recipe.load(recipe).with(List.of("optimizer.unet_rate=0.5"));
            String readout = recipe.startsWith("sd") ? "position" : "dense";
            assertEquals(
                    List.of("warning: recipe " + recipe + ": optimizer.unet_rate has no effect, because"
                            + " model.generator.readout is " + readout),
                    unused(r));
            assertFalse(r.toYaml().contains("unet_rate"), r.toYaml());
            assertTrue(r.toYaml().contains("backbone_rate"), r.toYaml());
            assertEquals(List.of(), unused(file(r.toYaml())));
        }
        Recipe denoises = Recipe.load("sd-finetune-tiny").with(List.of("optimizer.unet_rate=0.5"));
        assertEquals(List.of(), unused(denoises));
        assertTrue(denoises.toYaml().contains("unet_rate: 0.5"), denoises.toYaml());
    }

    @Test
    void aWrongValueIsNamedWithItsOwnPlace() throws IOException {
        Recipe r = file("base: vit-gan-tiny\ntrain: {epochs: 0}\n")
                .with(List.of("train.batch=0", "optimizer.ema=0.5"))
                .with("model.generator.preprocess", "custom");
        refused(() -> r.section("train").integer("epochs", 1), "mine.yaml, key 'train.epochs': 0 does not fit");
        refused(
                () -> r.section("train").integer("batch", 1),
                "option train.batch=0, key 'train.batch': 0 does not fit");
        refused(
                () -> Recipe.load("vit-gan-tiny")
                        .with(List.of("train.seed=1"))
                        .section("train")
                        .integer("epochs", 1000),
                "recipe vit-gan-tiny, key 'train.epochs'");
    }

    @Test
    void aSizeHasItsOwnWidth() throws IOException {
        assertEquals(
                List.of("warning: recipe mine: model.generator.vit.width, model.generator.vit.depth have no effect,"
                        + " because model.generator.type is vit and its size tiny"),
                unused(file("model: {generator: {vit: {size: tiny, width: 24, depth: 2}}}\n")));
        assertEquals(List.of(), unused(Recipe.load("vit-gan-tiny").with("model.generator.vit.size=small")));
    }

    @Test
    void formsOfTheFile() throws IOException {
        String yaml = "model: {generator: {cnn: {channels: &c [8, 16]}, unet: {channels: *c}}} # gr\u00f6\u00dfe\n";
        Recipe r = file(yaml);
        assertEquals(
                List.of(8, 16),
                r.section("model").section("generator").section("unet").integers("channels"));
        Path file = Files.write(dir.resolve("mine.yaml"), yaml.getBytes(StandardCharsets.UTF_16));
        assertEquals(r.toYaml(), Recipe.load(file.toString()).toYaml());
        Files.write(file, yaml.getBytes(StandardCharsets.ISO_8859_1));
        refused(() -> Recipe.load(file.toString()), "mine.yaml: is no text in UTF-8");
        refused(() -> file(""), "mine.yaml: sets no value");
        refused(() -> file("# nothing\n"), "mine.yaml: sets no value");
        refused(() -> file("- a\n- b\n"), "mine.yaml: has no keys with values");
        refused(() -> file("train: {init: !!binary aGVsbG8=}"), "'train.init': binary data does not fit. Give text");
        refused(
                () -> TrainSettings.of(file("train: {epochs: 99999999999}")),
                "99999999999 does not fit. Give a whole number of at most 2147483647");
        refused(() -> Recipe.load(dir.resolve("none.yaml").toString()), "none.yaml: no such file", "quickstart");
    }

    @Test
    void nothingIsToldOfWhatTheUserDidNotGiveOrWhatIsUsed() throws IOException {
        for (String name : Recipe.BUNDLED) assertEquals(List.of(), unused(Recipe.load(name)), name);
        assertEquals(List.of(), unused(Recipe.load("vit-gan-tiny").with("model.generator.type=cnn")));
        assertEquals(List.of(), unused(Recipe.load("vit-gan-tiny").with("model.generator.vit.depth=3")));
        // a key of version 0.1, which sets the keys of two networks
        assertEquals(List.of(), unused(file("model: {generator: {type: cnn, hidden: 9}}\n")));
        // what a run's folder has
        assertEquals(
                List.of(),
                unused(file(Recipe.load("vanilla-patch-multi-tiny").toYaml()).with("train.epochs", 2)));
    }
}
