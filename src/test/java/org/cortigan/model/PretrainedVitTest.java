// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.exec.CpuDevice;
import org.cortigan.graph.DType;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Backbones.Tensor;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares the features of pre-trained ViTs of every family with their own library's (tools/golden_backbones.py). */
class PretrainedVitTest {
    @TempDir
    static Path all;

    @TempDir
    Path dir;

    @BeforeAll
    static void unpack() {
        Backbones.unpack(all);
    }

    private static Path file(String name) {
        return all.resolve(name).resolve("model.safetensors");
    }

    /** A generator with the ViT of a file. */
    private static Generator generator(Path file, int image, String... options) {
        List<String> keys = new ArrayList<>(List.of("image=" + image, "vit.heads=4"));
        PretrainedVit.form(file).keys().forEach((key, value) -> keys.add(key + "=" + value));
        keys.addAll(List.of(options));
        return TestModels.generator(keys.toArray(new String[0]));
    }

    private static ModelConfig model(Generator g) {
        return TestModels.model(g, TestModels.discriminator(), 2, 3);
    }

    private static InitialValues load(Path file, String... options) {
        return PretrainedVit.load(file, model(generator(file, 32, options)));
    }

    private static float[] features(Path file, Generator g, byte[] images) {
        Map<String, float[]> w = new HashMap<>(TestModels.read(PretrainedVit.load(file, model(g))));
        for (Weights.Spec s : model(g).generatorWeights(DType.F32).specs())
            if (s.name().startsWith("generator.head."))
                w.put(s.name(), new float[(int) s.shape().elements()]);
        try (Predictor f = Model.of(model(g), w::get).featureExtractor(CpuDevice.best(2), 2)) {
            return f.predict(images);
        }
    }

    /**
     * All tokens after the final norm of every family, at the side of its positions and at others. The tolerance is
     * relative to the largest feature: two blocks of sums of at most 588 terms, whose roundings of 2^-24 add up like
     * their square root, 24, and about five sums follow each other.
     */
    @Test
    void tokensAreThoseOfTheLibrary() {
        double tolerance = 5 * 24 * 0x1p-24;
        assertTrue(tolerance < 1e-5);
        try (SafeTensors golden = SafeTensors.open(all.resolve("golden.safetensors"))) {
            assertEquals(53, Backbones.names(golden).size());
            for (String name : Backbones.names(golden)) {
                int dot = name.indexOf('.'), side = Integer.parseInt(name.substring(dot + 1));
                Path file = file(name.substring(0, dot));
                byte[] images = Backbones.images(golden, side);
                float[] cls = features(file, generator(file, side), images),
                        patches = features(file, generator(file, side, "vit.pool=tokens"), images);
                float[] want = golden.floats(name), got = new float[want.length];
                int c = cls.length / 2, p = patches.length / 2;
                double largest = 0;
                for (int i = 0; i < 2; i++) {
                    System.arraycopy(cls, i * c, got, i * (c + p), c);
                    System.arraycopy(patches, i * p, got, i * (c + p) + c, p);
                }
                for (float x : want) largest = Math.max(largest, Math.abs(x));
                assertTrue(largest > 1, name);
                assertArrayEquals(want, got, (float) (tolerance * largest), name);
            }
        }
    }

    @Test
    void lowRankUpdatesAreNotOfTheFile() {
        Map<String, float[]> values = TestModels.read(load(file("hf-dinov2-registers"), "vit.lora_rank=3"));
        assertTrue(values.containsKey("generator.blocks.1.attn.qkv.weight"));
        assertTrue(values.keySet().stream().noneMatch(Lora::isUpdate));
    }

    @Test
    void meanOfTokensLeavesOutRegisters() {
        Path file = file("hf-dinov2-registers");
        try (SafeTensors golden = SafeTensors.open(all.resolve("golden.safetensors"))) {
            float[] tokens = golden.floats("hf-dinov2-registers.32"), want = new float[2 * 24];
            for (int i = 0; i < 2; i++)
                for (int t = 1; t < 17; t++)
                    for (int k = 0; k < 24; k++) want[i * 24 + k] += tokens[(i * 17 + t) * 24 + k] / 16;
            float[] got = features(file, generator(file, 32, "vit.pool=mean"), Backbones.images(golden, 32));
            assertArrayEquals(want, got, 1e-4f);
        }
    }

    @Test
    void theFormIsTheFiles() {
        PretrainedVit.Form form = PretrainedVit.form(file("timm-dinov2-registers"));
        assertEquals(
                "{type=vit, vit.embed=pixels, vit.size=custom, vit.width=24, vit.depth=2, vit.heads=4, vit.patch=8,"
                        + " vit.mlp_ratio=4, vit.registers=4, vit.layer_scale=true, vit.pre_norm=false,"
                        + " vit.activation=gelu, vit.norm_eps=1.0E-6, mean=[0.485, 0.456, 0.406],"
                        + " std=[0.229, 0.224, 0.225]}",
                form.keys().toString());
        assertEquals(32, form.image());
        Map<String, Object> clip = PretrainedVit.form(file("timm-clip")).keys();
        assertEquals("quick_gelu", clip.get("vit.activation"));
        assertEquals(1e-5, clip.get("vit.norm_eps"));
        assertEquals(true, clip.get("vit.pre_norm"));
        assertEquals(1e-3, PretrainedVit.form(file("hf-vit-memory")).keys().get("vit.norm_eps"));
        assertEquals("gelu", PretrainedVit.form(file("hf-clip-vision")).keys().get("vit.activation"));
        assertEquals(
                "quick_gelu",
                PretrainedVit.form(file("open-clip-openai")).keys().get("vit.activation"));
        assertEquals(4, PretrainedVit.form(file("open-clip")).keys().get("vit.heads"));
        assertTrue(!PretrainedVit.form(file("dinov2")).keys().containsKey("vit.heads"), "nothing tells the heads");
    }

    @Test
    void coloursComeFromTheFilesBesideOrTheFamily() throws IOException {
        Optional<Normalisation> imagenet = Optional.of(Normalisation.of(Normalisation.Preset.IMAGENET));
        Optional<Normalisation> clip = Optional.of(Normalisation.of(Normalisation.Preset.CLIP));
        assertEquals(imagenet, PretrainedVit.colours(file("hf-vit-memory")));
        assertEquals(imagenet, PretrainedVit.colours(file("dinov2")));
        assertEquals(clip, PretrainedVit.colours(file("open-clip")));
        Path alone = dir.resolve("model.safetensors");
        Files.copy(file("timm-augreg"), alone);
        assertEquals(Optional.empty(), PretrainedVit.colours(alone), "augreg or DINO: nothing tells");
        String note = load(alone).notes().get(0);
        assertTrue(note.contains("(augreg), as the recipe says: neither the file nor one beside it tells"), note);
        Files.writeString(
                dir.resolve("config.json"),
                "{\"architecture\": \"vit_tiny_patch16_224\", \"std\": [1, 1, 1]," + " \"mean\": [0, 0.5, 0]}");
        assertEquals(
                List.of(0.0, 0.5, 0.0),
                PretrainedVit.colours(alone).orElseThrow().mean());
        Files.writeString(
                dir.resolve("config.json"), "{\"architecture\": \"vit\", \"num_features\": 768, \"mean\": 3}");
        assertEquals(Optional.empty(), PretrainedVit.colours(alone), "of another model");
        Files.writeString(
                dir.resolve("config.json"), "{\"architecture\": \"vit\", \"mean\": [0, 0], \"std\": [1,1,1]}");
        refused(alone, "config.json, key 'mean'", "is no list of three numbers");
        Files.writeString(dir.resolve("config.json"), "{\"hidden_act\": ");
        refused(alone, "config.json", "not valid JSON");
    }

    @Test
    void otherColoursOfTheRecipeAreWarnedOf() {
        String note = load(file("dinov2"), "preprocess=augreg").notes().get(0);
        assertTrue(note.contains("(augreg). warning: the ViT was trained with"), note);
        assertTrue(note.contains("(imagenet), by all of DINOv2"), note);
    }

    private static void refused(Path file, String... parts) {
        InputException e = assertThrows(InputException.class, () -> PretrainedVit.form(file));
        for (String part : parts) assertTrue(e.getMessage().contains(part), e.getMessage());
    }

    private static void mismatched(Path file, Generator g, String... parts) {
        InputException e =
                assertThrows(InputException.class, () -> TestModels.read(PretrainedVit.load(file, model(g))));
        for (String part : parts) assertTrue(e.getMessage().contains(part), e.getMessage());
    }

    @Test
    void aRecipeWithAnotherVitIsToldAllThatDiffers() {
        Path dino = file("timm-dinov2-registers");
        mismatched(
                dino,
                TestModels.generator("image=36", "vit.patch=4", "vit.width=48", "vit.depth=3", "vit.mlp_ratio=2"),
                "width 24, depth 2, 4 heads, patch 8, 4 registers, LayerScale, gelu",
                "-o model.generator.vit.size=custom -o model.generator.vit.width=24 -o model.generator.vit.depth=2 -o"
                        + " model.generator.vit.heads=4 -o model.generator.vit.patch=8 -o"
                        + " model.generator.vit.mlp_ratio=4 -o model.generator.vit.registers=4 -o"
                        + " model.generator.vit.layer_scale=true -o model.generator.image=32",
                "--backbone");
        mismatched(
                file("open-clip-openai"),
                generator(
                        file("open-clip-openai"), 32, "vit.activation=gelu", "vit.norm_eps=1e-6", "vit.pre_norm=false"),
                "pre_norm=true -o model.generator.vit.activation=quick_gelu -o model.generator.vit.norm_eps=1.0E-5");
        mismatched(file("hf-vit"), generator(file("hf-vit"), 32, "vit.heads=3"), "vit.heads=4");
        mismatched(dino, generator(dino, 32, "vit.depth=3"), "depth 2", "vit.depth=2");
        mismatched(dino, generator(dino, 32, "vit.embed=gabor"), "Set model.generator.vit.embed to pixels");
        mismatched(dino, TestModels.generator("type=cnn"), "--backbone");
    }

    private Path changed(String name, Map<String, Tensor> tensors) {
        return Backbones.write(dir.resolve(name + ".safetensors"), tensors);
    }

    private static Tensor zeros(long... shape) {
        return new Tensor(shape, new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)]);
    }

    @Test
    void aTensorOfAnotherShapeIsRefused() {
        Map<String, Tensor> t = Backbones.tensors(file("timm-augreg"));
        float[] patch = t.get("patch_embed.proj.weight").values();
        t.put("patch_embed.proj.weight", new Tensor(new long[] {8, 8, 3, 24}, patch));
        refused(changed("flax", t), "'patch_embed.proj.weight'", "[8, 8, 3, 24]", "[24, 3, patch, patch]", "PyTorch");
        t.put("patch_embed.proj.weight", new Tensor(new long[] {24, 192}, patch));
        assertEquals(8, PretrainedVit.form(changed("flat", t)).patch());
        t.put("blocks.1.mlp.fc1.weight", zeros(24, 96));
        refused(changed("kernel", t), "'blocks.1.mlp.fc1.weight'", "[24, 96]", "[96, 24]");
    }

    @Test
    void whatIsMissingOrHasNoPlaceIsNamed() {
        Map<String, Tensor> t = Backbones.tensors(file("timm-augreg"));
        t.remove("blocks.1.attn.qkv.bias");
        refused(changed("bias", t), "lacks 1 of the", "'blocks.1.attn.qkv.bias'");
        refused(changed("model-00001-of-00002", t), "one of several parts", "max_shard_size");
        t = Backbones.tensors(file("timm-augreg"));
        t.remove("patch_embed.proj.bias");
        refused(changed("patch", t), "lacks 1 of the", "patch_embed.proj.bias");
        t = Backbones.tensors(file("timm-augreg"));
        t.put("blocks.0.attn.scale_\u001b[31m", zeros(4));
        refused(
                changed("scale", t),
                "has tensors for which CortiGAN's ViT has no place (1)",
                "'blocks.0.attn.scale_\\u001b[31m'");
        t = Backbones.tensors(file("hf-dinov2"));
        t.keySet().removeIf(n -> n.contains(".norm2."));
        refused(changed("half", t), "lacks 4 of the", "'blocks.0.norm2.weight' by timm's names");
        t = Backbones.tensors(file("timm-dinov2"));
        t.remove("blocks.1.ls2.gamma");
        refused(changed("ls", t), "lacks 1 of the", "'blocks.1.ls2.gamma'");
        t = Backbones.tensors(file("timm-augreg"));
        t.put("pos_embed", zeros(1, 19, 24));
        refused(changed("positions", t), "'pos_embed'", "19 positions are not a class token and a square grid");
    }

    @Test
    void valuesThatAreNotFiniteAreRefused() {
        Map<String, Tensor> t = Backbones.tensors(file("timm-augreg"));
        t.get("blocks.0.norm1.weight").values()[5] = Float.NaN;
        Path file = changed("nan", t);
        mismatched(file, generator(file, 32), "'blocks.0.norm1.weight'", "NaN at index [5]");
    }

    @Test
    void registersWithPositionsHaveThemAdded() {
        Map<String, Tensor> t = Backbones.tensors(file("timm-dinov2-registers"));
        float[] reg = t.get("reg_token").values(), patches = t.get("pos_embed").values();
        float[] positions = new float[21 * 24];
        for (int i = 0; i < 5 * 24; i++) positions[i] = i;
        System.arraycopy(patches, 0, positions, 5 * 24, patches.length);
        t.put("pos_embed", new Tensor(new long[] {1, 21, 24}, positions));
        Map<String, float[]> with = TestModels.read(load(changed("all", t), "mean=[0.5,0.5,0.5]"));
        float[] want = reg.clone();
        for (int i = 0; i < want.length; i++) want[i] += 24 + i;
        assertArrayEquals(want, with.get("generator.reg_token"));
        float[] pos = with.get("generator.pos_embed");
        assertEquals(17 * 24, pos.length);
        assertEquals(23, pos[23]);
        assertEquals(patches[0], pos[24]);
        float[] alone = TestModels.read(load(file("timm-dinov2-registers"))).get("generator.pos_embed");
        assertArrayEquals(new float[24], Arrays.copyOf(alone, 24));
    }

    @Test
    void prefixesZerosAndWhatIsNotNeededAreTold() {
        for (String prefix : List.of("module.", "model.", "backbone.", "_orig_mod.", "student.backbone.")) {
            Path file = Backbones.write(
                    dir.resolve("p.safetensors"), Backbones.tensors(file("timm-augreg")), n -> prefix + n);
            assertTrue(load(file).notes().contains("its names begin with '" + prefix + "'"), prefix);
        }
        String clip = String.join("; ", load(file("hf-clip")).notes());
        assertTrue(clip.contains("its names begin with 'vision_model.'"), clip);
        assertTrue(clip.contains("it has no patch_embed.proj.bias: zero"), clip);
        assertTrue(clip.contains("not needed: "), clip);
        assertTrue(load(file("timm-no-qkv-bias")).notes().toString().contains("no blocks.*.attn.qkv.bias: zero"));
        Map<String, Tensor> two = new LinkedHashMap<>();
        Backbones.tensors(file("timm-augreg")).forEach((n, x) -> {
            two.put("student." + n, x);
            two.put("teacher." + n, x);
        });
        refused(changed("two", two), "holds several ViTs", "'student.' and 'teacher.'");
    }

    @Test
    void whatTheFilesDoNotTellIsWarnedOf() {
        Path clip = changed("clip", Backbones.tensors(file("timm-clip")));
        String notes = String.join("; ", load(clip).notes());
        assertTrue(notes.contains("OpenAI's needs -o model.generator.vit.activation=quick_gelu"), notes);
        String config = "{\"architecture\": \"vit_base_patch16_clip_224\", \"pretrained_cfg\": {\"tag\": \"%s\"}}";
        Map<String, String> activations =
                Map.of("openai", "quick_gelu", "laion2b", "gelu", "openai_ft_in1k", "gelu", "dfn2b", "gelu");
        activations.forEach((tag, activation) -> {
            AtomicFiles.writeString(dir.resolve("config.json"), config.replace("%s", tag));
            assertEquals(activation, PretrainedVit.form(clip).keys().get("vit.activation"), tag);
            boolean isTold = String.join("; ", load(clip).notes()).contains("OpenAI's needs -o");
            assertEquals(tag.equals("dfn2b"), isTold, tag);
        });
        AtomicFiles.writeString(dir.resolve("config.json"), "{}");
        Path hf = changed("hf", Backbones.tensors(file("hf-vit")));
        notes = String.join("; ", load(hf, "vit.norm_eps=1e-6").notes());
        assertTrue(notes.contains("warning: norm_eps is the recipe's 1.0e-6"), notes);
        assertTrue(notes.contains("-o model.generator.vit.norm_eps=1.0e-12"), notes);
        assertEquals(
                1,
                Stream.of(load(file("hf-vit")).notes())
                        .flatMap(List::stream)
                        .filter(n -> n.contains("norm_eps"))
                        .count());
    }

    @Test
    void buffersOfOtherTypesAreNotNeeded() {
        for (String name : List.of("extra", "blocks.0.attn.extra")) {
            Path file = dir.resolve("buffer.safetensors");
            SafeTensors.Writer w = new SafeTensors.Writer(file);
            Backbones.tensors(file("timm-augreg")).forEach((n, x) -> w.add(n, x.values(), x.shape()));
            w.add(name, SafeTensors.DType.C64, new long[] {2}, ByteBuffer.allocate(16))
                    .commit();
            if (name.equals("extra")) assertTrue(load(file).notes().toString().contains("'extra'"));
            else refused(file, "has no place (1): 'blocks.0.attn.extra'");
        }
    }

    @Test
    void otherModelsAreRefusedByName() {
        Map<String, Tensor> t = Backbones.tensors(file("timm-augreg"));
        Map<String, String> others = new LinkedHashMap<>();
        others.put("dist_token", "a distilled DeiT");
        others.put("embeddings.distillation_token", "a distilled DeiT");
        others.put("attn_pool.latent", "SigLIP");
        others.put("vision_model.head.probe", "SigLIP");
        others.put("blocks.0.attn.relative_position_bias_table", "BEiT");
        others.put("blocks.0.attn.q_bias", "EVA-02");
        others.put("blocks.0.gamma_1", "DINOv3");
        others.put("blocks.0.attn.rope.freqs", "EVA-02 or DINOv3");
        others.put("rope.freqs_cos", "rotary");
        others.put("layers.0.blocks.0.norm1.weight", "Swin");
        others.put("blocks.0.mlp.w12.weight", "DINOv2-giant");
        others.put("encoder.layer.0.mlp.weights_in.weight", "DINOv2-giant");
        others.put("fc_norm.weight", "no final norm");
        others.put("base_model.model.blocks.0.attn.qkv.lora_A.weight", "an adapter");
        others.put("layer1.0.conv1.weight", "a convolutional network");
        others.forEach((tensor, what) -> {
            Map<String, Tensor> with = new LinkedHashMap<>(t);
            with.put(tensor, zeros(2));
            refused(changed("other", with), what, "'" + tensor + "'");
        });
        Map<String, Tensor> dino3 = Backbones.tensors(file("timm-dinov2-registers"));
        dino3.remove("pos_embed");
        refused(changed("dinov3", dino3), "has registers but no position embeddings, as DINOv3");
        refused(changed("conv", Map.of("conv1.weight", zeros(2, 2))), "has no class token", "'conv1.weight'");
        refused(Path.of("src/test/resources/checkpoints/0.1-vit-patch.safetensors"), "a checkpoint of CortiGAN");
    }

    @Test
    void everyNameOfTheTablesIsOneOfOurs() {
        TreeSet<String> ours = new TreeSet<>();
        for (Weights.Spec s : model(generator(file("timm-clip"), 32, "vit.layer_scale=true", "vit.registers=1"))
                .generatorWeights(DType.F32)
                .specs()) {
            String name = s.name().substring("generator.".length());
            if (!name.startsWith("head.")) ours.add(name);
        }
        assertEquals(2 * 14 + 9, ours.size());
        for (String name : ours) assertEquals(List.of(List.of(name)), VitFamily.TIMM.names(name));
    }
}
