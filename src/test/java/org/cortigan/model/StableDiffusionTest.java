// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.config.Settings;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.DiffusersFile;
import org.cortigan.nn.Weights;
import org.cortigan.train.Recipe;
import org.junit.jupiter.api.Test;

class StableDiffusionTest {
    private static final int SIDE = 16, CHANNELS = 5;

    private static Generator generator(String... options) {
        List<String> all = new ArrayList<>(List.of(
                "type=sd",
                "image=" + SIDE,
                "readout=position",
                "features=" + CHANNELS,
                "sd.layers=[mid, up0, up1]",
                "sd.vae_channels=[8, 16]",
                "sd_unet.channels=[8, 16]",
                "sd_unet.blocks=1",
                "sd_unet.attention_levels=1",
                "sd_unet.heads=2",
                "sd_unet.context=6",
                "sd_unet.groups=4"));
        all.addAll(List.of(options));
        return TestModels.generator(all.toArray(new String[0]));
    }

    private static final String[] PATCH = {"sd.latent=patch", "image=32"};

    private static Features features(Generator g, Weights w, String subject, Features.Kind kind) {
        Value images = w.graph().input("images", DType.U8, 2, g.image(), g.image(), 3);
        return g.backbone().features(w, images, subject, g.normalisation(), new Features.Form(kind, CHANNELS));
    }

    private static Weights parameters(Generator g) {
        return Weights.declaredBy(DType.F32, "", false, w -> features(g, w, "", Features.Kind.MAPS));
    }

    @Test
    void givesEveryFormOfFeatures() {
        for (Generator g : List.of(generator(), generator(PATCH))) {
            Weights w = Weights.in(new Graph(), DType.F32, "", false);
            Features maps = features(g, w, "", Features.Kind.MAPS);
            assertEquals(
                    List.of(3, 8, 8, CHANNELS), List.of(maps.layers(), maps.height(), maps.width(), maps.channels()));
            Features tokens = maps.asTokens();
            assertArrayEquals(
                    new int[] {2, 3 * 64, CHANNELS}, tokens.value().shape().dims());
            w = Weights.in(new Graph(), DType.F32, "", false);
            Features vectors = features(g, w, "", Features.Kind.VECTORS);
            assertArrayEquals(
                    new int[] {2, 3 * CHANNELS}, vectors.value().shape().dims());
        }
        Weights w = Weights.in(new Graph(), DType.F32, "", false);
        Features one = features(generator("sd.layers=[mid]"), w, "", Features.Kind.VECTORS);
        assertArrayEquals(new int[] {2, 16}, one.value().shape().dims(), "channels of the middle");
    }

    @Test
    void theAutoencoderHasItsOwnColours() {
        InputException e = assertThrows(InputException.class, () -> generator("preprocess=clip"));
        assertTrue(e.getMessage().contains("preprocess"), e.getMessage());
        assertEquals(
                32, generator("sd.latent=patch", "image=32", "preprocess=clip").image());
    }

    @Test
    void hasTheNamesAndShapesOfStableDiffusion() {
        Map<String, List<Integer>> mine = DiffusersFile.shapes(parameters(generator(
                "image=64",
                "sd.layers=[up3, up1]",
                "sd.vae_channels=[128, 256, 512, 512]",
                "sd_unet.channels=[320, 640, 1280, 1280]",
                "sd_unet.blocks=2",
                "sd_unet.attention_levels=3",
                "sd_unet.heads=8",
                "sd_unet.context=768",
                "sd_unet.groups=32")));
        compare("unet", mine, name -> !name.startsWith("conv_norm_out.") && !name.startsWith("conv_out."));
        compare("vae", mine, name -> name.startsWith("encoder.") || name.startsWith("quant_conv."));
        Set<String> others = mine.keySet().stream()
                .filter(n -> !n.startsWith("unet.") && !n.startsWith("vae."))
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(
                Set.of(
                        "token",
                        "readout.up1.weight",
                        "readout.up1.bias",
                        "readout.up1.norm.weight",
                        "readout.up1.norm.bias",
                        "readout.up3.weight",
                        "readout.up3.bias",
                        "readout.up3.norm.weight",
                        "readout.up3.norm.bias"),
                others);
    }

    private static void compare(String part, Map<String, List<Integer>> mine, Predicate<String> needed) {
        Map<String, List<Integer>> want = DiffusersFile.shapes(part).entrySet().stream()
                .filter(e -> needed.test(e.getKey()))
                .collect(Collectors.toMap(e -> part + "." + e.getKey(), Map.Entry::getValue));
        Map<String, List<Integer>> got = mine.entrySet().stream()
                .filter(e -> e.getKey().startsWith(part + "."))
                .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
        assertEquals(want, got);
    }

    /** Maps [B, L, H, W, C] of random photographs with random parameters. */
    private static float[] run(Generator g, String subject) {
        Graph graph = new Graph();
        Weights w = Weights.in(graph, DType.F32, "", false);
        graph.output("maps", features(g, w, subject, Features.Kind.MAPS).value());
        CpuDevice cpu = CpuDevice.best(2);
        try (Variables vars = new Variables(cpu);
                Session s = new Session(graph, cpu, vars)) {
            for (Weights.Spec p : w.specs()) vars.find(p.name()).write(p.init().make(p.shape(), 3, p.name()));
            byte[] rgb = new byte[2 * SIDE * SIDE * 3];
            new SplittableRandom(4).nextBytes(rgb);
            s.input("images")
                    .write(ByteBuffer.allocateDirect(rgb.length).put(rgb).flip());
            s.run();
            return s.output("maps").toFloats();
        }
    }

    @Test
    void coarserMapsAreRepeated() {
        float[] maps = run(generator(), "");
        int layer = 64 * CHANNELS, row = 8 * CHANNELS;
        for (int image = 0; image < 2; image++)
            for (int y = 0; y < 8; y++)
                for (int x = 0; x < row; x++)
                    for (int l = 0; l < 2; l++) {
                        int at = (image * 3 + l) * layer;
                        int corner = at + y / 2 * 2 * row + x / (2 * CHANNELS) * 2 * CHANNELS + x % CHANNELS;
                        assertEquals(maps[corner], maps[at + y * row + x], "layer " + l);
                    }
        int finest = 2 * layer;
        assertTrue(maps[finest] != maps[finest + CHANNELS], "the finest map has cells of its own");
    }

    @Test
    void timestepAndSubjectMatter() {
        float[] maps = run(generator(), "");
        assertArrayEquals(maps, run(generator(), ""));
        assertFalse(Arrays.equals(maps, run(generator("sd.timestep=261"), "")));
        assertFalse(Arrays.equals(run(generator(), "subj01"), run(generator(), "subj02")));
    }

    @Test
    void theAutoencoderIsFrozenInAnyCase() {
        Recipe none = TestModels.recipe();
        Freeze f = Freeze.of(none.section("train"), generator().backbone());
        Freeze all = Freeze.of(
                none.with("train.freeze=backbone").section("train"), generator().backbone());
        assertTrue(f.isOn() && all.isOn());
        assertEquals("the autoencoder", f.toString());
        Weights w = Weights.declaredBy(
                DType.F32,
                Generator.PREFIX,
                false,
                v -> generator().responses(v, generator().images(v.graph(), 2), "a", 7));
        for (Weights.Spec s : w.specs()) {
            boolean vae = s.name().startsWith("generator.vae.");
            assertEquals(vae, f.freezes(s), s.name());
            boolean own = s.name().startsWith("generator.head.") || s.name().startsWith("generator.readout.");
            assertEquals(!own, all.freezes(s), s.name());
        }
        assertFalse(
                Freeze.of(none.section("train"), generator(PATCH).backbone()).isOn());
    }

    /** Several tokens begin apart, because equal ones would have equal gradients; one begins at 0. */
    @Test
    void attendsToLearnedTokens() {
        Weights.Spec one = token(generator()), three = token(generator("sd.tokens=3"));
        assertArrayEquals(new int[] {1, 6}, one.shape().dims());
        assertArrayEquals(new int[] {3, 6}, three.shape().dims());
        assertArrayEquals(new float[6], one.init().make(one.shape(), 0, one.name()));
        float[] x = three.init().make(three.shape(), 0, three.name());
        assertEquals(
                18,
                Set.copyOf(IntStream.range(0, 18).mapToObj(i -> x[i]).toList()).size());
        assertFalse(Arrays.equals(run(generator(), ""), run(generator("sd.tokens=3"), "")));
        assertFalse(Arrays.equals(run(generator("sd.tokens=3"), "a"), run(generator("sd.tokens=3"), "b")));
    }

    @Test
    void modelsFromBeforeTheKeyHaveOneToken() {
        Settings s =
                TestModels.recipe("model.generator.type=sd").section("model").section("generator");
        Map<String, Object> all = new LinkedHashMap<>(s.values()),
                sd = new LinkedHashMap<>(s.section("sd").values());
        assertEquals(1, StableDiffusion.of(s).tokens());
        sd.put("tokens", 5L);
        all.put("sd", sd);
        assertEquals(5, StableDiffusion.of(Settings.of("test", all)).tokens());
        sd.remove("tokens");
        assertEquals(1, StableDiffusion.of(Settings.of("test", all)).tokens());
    }

    @Test
    void recipesOfTheWholeUnetHaveTheTokensOfAText() {
        Map<String, Integer> want = Map.of("sd-features", 77, "sd-features-workstation", 77, "sd-features-tiny", 1);
        want.forEach((recipe, tokens) -> {
            Settings s = Recipe.load(recipe).section("model").section("generator");
            assertEquals(tokens, StableDiffusion.of(s).tokens(), recipe);
        });
    }

    private static Weights.Spec token(Generator g) {
        return parameters(g).specs().stream()
                .filter(s -> s.name().equals("token"))
                .findFirst()
                .orElseThrow();
    }

    private static void refused(String message, String... options) {
        String m = assertThrows(InputException.class, () -> generator(options)).getMessage();
        assertTrue(m.contains(message), m);
    }

    @Test
    void refusesWhatDoesNotFit() {
        refused("sd.timestep': 1000 is out of range", "sd.timestep=1000");
        refused("sd.tokens'", "sd.tokens=0");
        refused("up0 to up1, each once", "sd.layers=[up2]");
        refused("each once", "sd.layers=[up1, up1]");
        refused("each once", "sd.layers=[]");
        refused("sd.vae_channels': is empty", "sd.vae_channels=[]");
        refused("sd.vae_channels': 6 is not a multiple of the 4 groups", "sd.vae_channels=[6]");
        refused("multiple of 4", "image=18");
        refused("multiple of 8", "sd.latent=patch", "image=20");
        refused("sd_unet.heads'", "sd_unet.heads=3");
    }

    @Test
    void onlyKeysThatMatterAreDecisive() {
        Recipe sd = TestModels.recipe("model.generator.type=sd");
        assertTrue(sd.toYaml().contains("sd_unet") && sd.toYaml().contains("vae_channels"));
        assertFalse(sd.with("model.generator.sd.latent=patch").toYaml().contains("vae_channels"));
        assertFalse(TestModels.recipe().toYaml().contains("sd_unet"));
    }
}
