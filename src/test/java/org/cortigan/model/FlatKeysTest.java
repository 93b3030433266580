// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Layers;
import org.cortigan.train.Recipe;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Recipes, options and checkpoints of version 0.1 keep their meaning. */
class FlatKeysTest {
    private static final Path CHECKPOINTS = Path.of("src/test/resources/checkpoints");

    /** Options that describe the same model: with the keys of version 0.1, and with the current keys. */
    private static final String[][] PAIRS = {
        {"generator.size=small", "generator.vit.size=small"},
        {"generator.patch=8", "generator.vit.patch=8"},
        {"generator.width=96", "generator.vit.width=96"},
        {"generator.depth=2", "generator.vit.depth=2"},
        {"generator.heads=6", "generator.vit.heads=6"},
        {"generator.mlp_ratio=2", "generator.vit.mlp_ratio=2"},
        {"generator.pool=mean", "generator.vit.pool=mean"},
        {"generator.layers=[1, 3]", "generator.vit.layers=[1, 3]"},
        {"generator.type=cnn generator.channels=[8]", "generator.type=cnn generator.cnn.channels=[8]"},
        {"generator.type=cnn generator.hidden=9", "generator.type=cnn generator.cnn.hidden=9"},
        {"generator.channels=[8, 8, 8] generator.type=unet", "generator.type=unet generator.unet.channels=[8, 8, 8]"},
        {"generator.type=unet generator.hidden=9", "generator.type=unet generator.unet.hidden=9"},
        {"generator.type=unet generator.norm=batch", "generator.type=unet generator.unet.norm=batch"},
        {"generator.type=unet generator.groups=4", "generator.type=unet generator.unet.groups=4"},
        {"generator.type=unet generator.decoder=1", "generator.type=unet generator.unet.decoder=1"},
        {"discriminator.hidden=[7]", "discriminator.mlp.hidden=[7]"},
        {"discriminator.type=conv discriminator.channels=[7]", "discriminator.type=conv discriminator.conv.channels=[7]"
        },
        {"discriminator.type=patch discriminator.kernel=5", "discriminator.type=patch discriminator.conv.kernel=5"},
        {"discriminator.type=patch discriminator.stride=1", "discriminator.type=patch discriminator.conv.stride=1"},
        {"discriminator.type=vit discriminator.patch=64", "discriminator.type=vit discriminator.vit.patch=64"},
        {"discriminator.type=vit discriminator.width=96", "discriminator.type=vit discriminator.vit.width=96"},
        {"discriminator.type=vit discriminator.depth=1", "discriminator.type=vit discriminator.vit.depth=1"},
        {"discriminator.type=vit discriminator.heads=2", "discriminator.type=vit discriminator.vit.heads=2"},
        {"discriminator.type=vit discriminator.mlp_ratio=2", "discriminator.type=vit discriminator.vit.mlp_ratio=2"}
    };

    private static ModelConfig model(String options) {
        Recipe r = TestModels.recipe();
        for (String o : options.split(" (?=generator|discriminator)")) r = r.with("model." + o);
        return ModelConfig.of(r.section("model"), List.of());
    }

    @Test
    void everyFlatKeyMeansTheKeyThatReplacedIt() {
        ModelConfig defaults = model("generator.type=vit");
        for (String[] p : PAIRS) {
            ModelConfig before = model(p[0]), now = model(p[1]);
            assertEquals(now.generator(), before.generator(), p[0]);
            assertEquals(now.discriminator(), before.discriminator(), p[0]);
            assertNotEquals(defaults.networks(), before.networks(), p[0]);
        }
    }

    @Test
    void aFileMayUseFlatKeysOverARecipeInTheNewForm(@TempDir Path dir) throws IOException {
        Path file = dir.resolve("mine.yaml");
        Files.writeString(
                file, "base: vit-gan-tiny\nmodel: {generator: {heads: 2, image: 32}, discriminator: {patch: 64}}");
        ModelConfig m = ModelConfig.of(Recipe.load(file.toString()).section("model"), List.of());
        assertEquals(
                new Vit(8, 128, new Layers.Encoder(4, 2, 4), 0, false, Vit.Pool.CLS, List.of(), Embed.PIXELS),
                m.generator().backbone());
        assertEquals(32, m.generator().image());
        assertEquals(
                new VitDiscriminator(64, 64, 2, 2, 4),
                m.discriminator().orElseThrow().network());
    }

    @ParameterizedTest
    @ValueSource(strings = {"0.1-vit-patch", "0.1-unet-vit", "0.1-cnn-conv"})
    void aCheckpointAndItsRecipeDescribeOneModel(String name) {
        Path file = CHECKPOINTS.resolve(name + ".safetensors");
        try (SafeTensors t = SafeTensors.open(file)) {
            ModelConfig saved = Model.config(t);
            Recipe recipe = Recipe.ofCheckpoint(file);
            ModelConfig trained = ModelConfig.of(recipe.section("model"), saved.subjects());
            assertEquals(trained.generator(), saved.generator());
            assertEquals(trained.discriminator(), saved.discriminator());
            assertTrue(t.metadata().get("cortigan.recipe").contains("\"hidden\":"));
            // a checkpoint stored now has the new form and the same meaning
            Map<String, Object> stored = saved.toMap();
            assertFalse(
                    Json.object(Json.object(stored.get("model"), "").get("generator"), "")
                            .containsKey("hidden"),
                    stored.toString());
            assertEquals(saved.generator(), ModelConfig.of(stored, "now").generator());
            assertEquals(saved.discriminator(), ModelConfig.of(stored, "now").discriminator());
        }
        assertTrue(Model.load(file).parameters() > 0);
    }

    @Test
    void networksAreComparedByMeaningNotByKeys() {
        assertEquals(
                model("generator.type=vit").generator(),
                model("generator.groups=3").generator());
        assertEquals(
                model("generator.vit.size=tiny").generator(),
                model("generator.type=vit").generator());
        assertEquals(
                TestModels.recipe().decisive(),
                TestModels.recipe("model.generator.groups=3").decisive());
        assertNotEquals(
                TestModels.recipe().decisive(),
                TestModels.recipe("model.generator.heads=6").decisive());
    }

    @Test
    void badValuesOfFlatKeysAreRefusedByBothKeys(@TempDir Path dir) throws IOException {
        Path twice = dir.resolve("twice.yaml"), text = dir.resolve("text.yaml");
        Files.writeString(twice, "model: {generator: {width: 96, vit: {width: 64}}}");
        Files.writeString(text, "model: {generator: {width: wide}}");
        String[][] refused = {
            {text.toString(), "'model.generator.width'", "'model.generator.vit.width'", "Give a number"},
            {twice.toString(), "'model.generator.width'", "'model.generator.vit.width'", "Keep the latter"}
        };
        for (String[] r : refused) {
            String said =
                    assertThrows(InputException.class, () -> Recipe.load(r[0])).getMessage();
            for (String part : r) assertTrue(said.contains(part), said);
        }
    }

    @Test
    void badValuesOfANetworkAreRefusedByKey() {
        String[][] refused = {
            {"generator.type=rnn", "'model.generator.type'", "Use one of vit, cnn, unet"},
            {"generator.vit.patch=15", "'model.generator.vit.patch'", "15 does not divide the image's 224 pixels"},
            {"generator.vit.heads=5", "'model.generator.vit.heads'", "Choose a divisor"},
            {"generator.vit.layers=[2, 1]", "'model.generator.vit.layers'", "ascending"},
            {"generator.vit.embed=sift", "'model.generator.vit.embed'", "pixels, gabor"},
            {"generator.vit.size=huge", "'model.generator.vit.size'", "custom, tiny, small, base"},
            {"generator.vit.groups=5", "'model.generator.vit.groups'", "is unknown"},
            {"generator.std=[1, 0, 1]", "'model.generator.std'", "above 0"},
            {"generator.type=cnn generator.cnn.channels=[]", "'model.generator.cnn.channels'", "is empty"},
            {"generator.type=cnn generator.image=30", "'model.generator.cnn.channels'", "a multiple of 8"},
            {"generator.type=gabor generator.gabor.levels=6", "'model.generator.gabor.levels'", "must divide"},
            {"generator.type=gabor generator.gabor.frequency=0.6", "'model.generator.gabor.frequency'", "at most 0.5"},
            {"generator.type=unet generator.unet.decoder=3", "'model.generator.unet.decoder'", "Give 1 to 2"},
            {"generator.type=unet generator.unet.groups=7", "'model.generator.unet.groups'", "all channels"},
            {"discriminator.type=gru", "'model.discriminator.type'", "Use one of none, mlp, conv, patch, vit"},
            {"discriminator.mlp.hidden=[]", "'model.discriminator.mlp.hidden'", "at least one layer"},
            {
                "discriminator.type=conv discriminator.conv.kernel=4",
                "'model.discriminator.conv.kernel'",
                "Give an odd width"
            },
            {
                "discriminator.type=patch discriminator.conv.channels=[]",
                "'model.discriminator.conv.channels'",
                "at least one convolution"
            },
            {
                "discriminator.type=patch discriminator.condition=image",
                "'model.discriminator.condition'",
                "type conv, mlp or vit"
            },
            {"discriminator.type=vit discriminator.vit.heads=5", "'model.discriminator.vit.heads'", "divisor"},
            {"discriminator.wdth=5", "'model.discriminator.wdth'", "Did you mean 'model.discriminator.vit.width'?"}
        };
        for (String[] r : refused) {
            String said =
                    assertThrows(InputException.class, () -> model(r[0]), r[0]).getMessage();
            assertTrue(said.contains(r[1]) && said.contains(r[2]), said);
        }
    }

    @Test
    void aModelWithoutDiscriminatorsHasNone() {
        assertTrue(model("discriminator.type=none").discriminator().isEmpty());
    }

    @Test
    void theDefaultsDocumentEveryKey() {
        String all = Recipe.defaults();
        assertFalse(all.contains("{generator") || all.contains("{discriminator"), all);
        for (String key :
                new String[] {"    type: vit                # vit | cnn | unet", "    unet:\n      channels:"})
            assertTrue(all.contains(key), all);
    }
}
