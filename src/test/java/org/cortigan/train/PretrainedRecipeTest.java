// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.model.Backbones;
import org.cortigan.model.Generator;
import org.cortigan.model.Normalisation;
import org.cortigan.model.Vit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PretrainedRecipeTest {
    private static final String IMAGENET = "mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225] (imagenet)";
    private static final String AUGREG = "mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5] (augreg)";

    @TempDir
    static Path dir;

    @BeforeAll
    static void unpack() {
        Backbones.unpack(dir);
    }

    private static Path file(String name) {
        return dir.resolve(name).resolve("model.safetensors");
    }

    private static Recipe recipe(String... options) {
        return Recipe.of("test", Map.of(), "test").with(List.of(options));
    }

    private static Generator generator(Recipe r) {
        return Generator.of(r.section("model").section("generator"));
    }

    private static String colours(String... options) {
        Recipe r = PretrainedRecipe.withColours(recipe(options));
        assertEquals("custom", r.section("model").section("generator").text("preprocess"));
        assertEquals(r.decisive(), PretrainedRecipe.withColours(r).decisive());
        return generator(r).normalisation().toString();
    }

    @Test
    void coloursAreThoseOfPresetFileOrRecipe() {
        String init = "train.init=" + file("hf-dinov2");
        assertEquals(AUGREG, colours());
        assertEquals(IMAGENET, colours("model.generator.preprocess=imagenet"));
        assertEquals(IMAGENET, colours(init));
        assertEquals(AUGREG, colours(init, "model.generator.preprocess=augreg"));
        assertEquals(AUGREG, colours(init, "model.generator.mean=[0.5, 0.5, 0.5]"), "the user's own");
        assertEquals(IMAGENET, colours("model.generator.std=[1, 1, 1]", init, "model.generator.preprocess=auto"));
        assertEquals(AUGREG, colours("train.init=absent.safetensors", "model.generator.type=cnn"), "no ViT");
        assertTrue(colours("model.generator.preprocess=clip").endsWith("(clip)"));
    }

    @Test
    void aRecipeFromBeforeTheKeyKeepsItsColours() {
        Map<String, Object> old = Map.of(
                "model", Map.of("generator", Map.of("mean", List.of(0.5, 0.5, 0.5))), "train", Map.of("init", "x"));
        assertEquals(
                Normalisation.Preset.CUSTOM,
                Normalisation.preset(
                        Recipe.of("old", old, "old").section("model").section("generator")));
    }

    @Test
    void everyBundledRecipeTakesAPreTrainedBackbone() {
        for (String name : Recipe.BUNDLED) {
            List<String> log = new ArrayList<>();
            Recipe r =
                    PretrainedRecipe.onBackbone(Recipe.load(name), file("timm-dinov2-registers"), List.of(), log::add);
            Generator g = generator(r);
            assertTrue(
                    g.backbone() instanceof Vit v
                            && v.registers() == 4
                            && v.encoder().depth() == 2,
                    name);
            assertEquals(32, g.image(), name);
            assertEquals(IMAGENET, g.normalisation().toString());
            assertEquals(
                    file("timm-dinov2-registers").toString(), r.section("train").text("init"));
            assertTrue(log.get(0).endsWith("photographs of 32 pixels"), log.get(0));
        }
        Vit v = (Vit) generator(
                        PretrainedRecipe.onBackbone(Recipe.load("vit-position"), file("hf-vit"), List.of(), line -> {}))
                .backbone();
        assertEquals(List.of(1, 2), v.layers(), "blocks 3, 6, 9 and 12 of 12");
    }

    @Test
    void theUsersOptionsWinOverTheBackbones() {
        Recipe r = PretrainedRecipe.onBackbone(
                recipe("model.generator.image=48"),
                file("timm-clip"),
                List.of("model.generator.image=48", "model.generator.vit.activation=gelu", "train.epochs=3"),
                line -> {});
        assertEquals(48, generator(r).image());
        assertTrue(generator(r).backbone().toString().contains("GELU"));
        assertEquals(3, r.section("train").integer("epochs", 1));
    }

    @Test
    void headsThatNothingTellsAreAskedFor() {
        InputException e = assertThrows(
                InputException.class,
                () -> PretrainedRecipe.onBackbone(recipe(), file("dinov2"), List.of(), line -> {}));
        assertTrue(
                e.getMessage().contains("Give -o model.generator.vit.heads=N, or put its config.json"), e.getMessage());
        List<String> heads = List.of("model.generator.vit.heads=3");
        Recipe r = PretrainedRecipe.onBackbone(recipe().with(heads), file("dinov2"), heads, line -> {});
        assertEquals(3, ((Vit) generator(r).backbone()).encoder().heads());
    }
}
