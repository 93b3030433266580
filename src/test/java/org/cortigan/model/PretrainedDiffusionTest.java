// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.config.Settings;
import org.cortigan.graph.Shape;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.io.SafeTensors.DType;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reads the small random Stable Diffusion of the golden files in every layout, and refuses everything else. */
class PretrainedDiffusionTest {
    private static final Path GOLDEN = Path.of("src/test/resources/sd");
    private static final String WEIGHTS = "diffusion_pytorch_model.safetensors";
    private static final Settings SETTINGS = Settings.of("test", Map.of("heads", 4L, "groups", 32L));

    /** A tensor as it is stored. */
    private record Raw(DType dtype, long[] shape, byte[] bytes) {
        static Raw zeros(long... shape) {
            return new Raw(
                    DType.F16, shape, new byte[(int) (2 * Arrays.stream(shape).reduce(1, (a, b) -> a * b))]);
        }
    }

    private static Map<String, Raw> unet, vae, text;

    @TempDir
    Path dir;

    @BeforeAll
    static void read() {
        unet = tensors("sd_unet_diffusers");
        vae = tensors("sd_vae_diffusers");
        text = tensors("clip_text");
    }

    /** Those of the weights. */
    private static Map<String, Raw> tensors(String golden) {
        Map<String, Raw> all = new LinkedHashMap<>();
        try (SafeTensors t = SafeTensors.open(GOLDEN.resolve(golden + ".safetensors"))) {
            for (String name : t.names()) {
                if (name.startsWith("golden.")) continue;
                byte[] bytes = new byte[(int) t.entry(name).bytes()];
                t.read(name, ByteBuffer.wrap(bytes));
                all.put(name, new Raw(t.entry(name).dtype(), t.entry(name).shape(), bytes));
            }
        }
        return all;
    }

    private static Path write(Path file, Map<String, Raw> tensors) {
        SafeTensors.Writer w = new SafeTensors.Writer(file);
        tensors.forEach((name, t) ->
                w.add(name, t.dtype, t.shape, ByteBuffer.wrap(t.bytes).order(ByteOrder.LITTLE_ENDIAN)));
        w.commit();
        return file;
    }

    private static Map<String, Raw> renamed(Map<String, Raw> tensors, Function<String, String> name) {
        Map<String, Raw> all = new LinkedHashMap<>();
        tensors.forEach((n, t) -> all.put(name.apply(n), t));
        assertEquals(tensors.size(), all.size());
        return all;
    }

    private Path folder;

    @BeforeEach
    void folderOfDiffusers() throws IOException {
        folder = dir.resolve("sd");
        for (String part : List.of("unet", "vae", "text_encoder")) Files.createDirectories(folder.resolve(part));
        write(folder.resolve("unet").resolve(WEIGHTS), unet);
        write(folder.resolve("vae").resolve(WEIGHTS), vae);
    }

    /** Parameters of those names in the engine's shapes: layers that read single pixels are linear. */
    private static List<Weights.Spec> specs(String prefix, Map<String, Raw> tensors) {
        List<Weights.Spec> specs = new ArrayList<>();
        tensors.forEach((name, t) -> {
            int[] dims = Arrays.stream(t.shape).mapToInt(n -> (int) n).toArray();
            if (dims.length == 4 && dims[3] == 1) dims = new int[] {dims[0], dims[1]};
            specs.add(spec(prefix + name, Init.ZEROS, dims));
        });
        return specs;
    }

    private static Weights.Spec spec(String name, Init init, int... dims) {
        return new Weights.Spec("generator." + name, Shape.of(dims), init, false, false, false);
    }

    /** Those of the backbone: all of the UNet, and the VAE's encoder. */
    private static List<Weights.Spec> backbone() {
        List<Weights.Spec> specs = specs("unet.", unet);
        specs.addAll(specs("vae.", encoder()));
        specs.add(spec("token", Init.ZEROS, 1, 24));
        return specs;
    }

    private static Map<String, Raw> encoder() {
        Map<String, Raw> encoder = new LinkedHashMap<>(vae);
        encoder.keySet().removeIf(n -> !n.startsWith("encoder.") && !n.startsWith("quant_conv."));
        return encoder;
    }

    private static List<Weights.Spec> readout() {
        List<Weights.Spec> specs = new ArrayList<>();
        specs("denoiser.", unet).stream()
                .filter(s -> !s.name().contains("er.conv_in.") && !s.name().contains("er.conv_out."))
                .forEach(specs::add);
        specs.add(spec("head.subj01.embedding", Init.normal(0.5), 5, 32));
        specs.add(spec("head.subj01.bias", Init.ZEROS, 5));
        specs.add(spec("cells.position", Init.ZEROS, 4, 32));
        return specs;
    }

    private static InitialValues load(Path path) {
        return load(path, backbone());
    }

    private static InitialValues load(Path path, List<Weights.Spec> specs) {
        return PretrainedDiffusion.backbone(path, specs, SETTINGS, ClipTextTest.SMALL);
    }

    /** All values of the backbone, which must be those of the golden files. */
    private static void assertGolden(InitialValues values) {
        Map<String, float[]> all = TestModels.read(values);
        assertEquals(unet.size() + encoder().size(), all.size());
        check("generator.unet.", "sd_unet_diffusers", unet, all);
        check("generator.vae.", "sd_vae_diffusers", encoder(), all);
    }

    private static void check(String prefix, String golden, Map<String, Raw> want, Map<String, float[]> all) {
        try (SafeTensors t = SafeTensors.open(GOLDEN.resolve(golden + ".safetensors"))) {
            for (String name : want.keySet()) assertArrayEquals(t.floats(name), all.get(prefix + name), name);
        }
    }

    /** CompVis' name of a tensor of the golden UNet: two levels, one block each, attention at the finer one. */
    private static String compVis(String name) {
        String[] p = name.split("\\.");
        String rest = String.join(".", Arrays.copyOfRange(p, Math.min(4, p.length), p.length));
        boolean attends = p.length > 2 && p[2].equals("attentions");
        String inner = switch (p[0]) {
            case "time_embedding" -> "time_embed." + (p[1].equals("linear_1") ? 0 : 2) + "." + p[2];
            case "conv_in" -> "input_blocks.0.0." + p[1];
            case "conv_norm_out" -> "out.0." + p[1];
            case "conv_out" -> "out.2." + p[1];
            case "mid_block" -> {
                String of = String.join(".", Arrays.copyOfRange(p, 3, p.length));
                yield "middle_block."
                        + (p[1].equals("attentions") ? "1." + of : p[2].equals("0") ? "0." + of : "2." + of);
            }
            case "down_blocks" -> {
                int i = Integer.parseInt(p[1]), j = Integer.parseInt(p[3]);
                yield p[2].equals("downsamplers")
                        ? "input_blocks." + 2 * (i + 1) + ".0.op." + p[5]
                        : "input_blocks." + (2 * i + j + 1) + (attends ? ".1." : ".0.") + rest;
            }
            default -> {
                int i = Integer.parseInt(p[1]), j = Integer.parseInt(p[3]);
                yield p[2].equals("upsamplers")
                        ? "output_blocks." + (2 * i + 1) + ".1.conv." + p[5]
                        : "output_blocks." + (2 * i + j) + (attends ? ".1." : ".0.") + rest;
            }
        };
        if (name.contains("resnets"))
            inner = inner.replaceFirst("\\.norm1\\.", ".in_layers.0.")
                    .replaceFirst("\\.conv1\\.", ".in_layers.2.")
                    .replaceFirst("\\.time_emb_proj\\.", ".emb_layers.1.")
                    .replaceFirst("\\.norm2\\.", ".out_layers.0.")
                    .replaceFirst("\\.conv2\\.", ".out_layers.3.")
                    .replaceFirst("\\.conv_shortcut\\.", ".skip_connection.");
        return "model.diffusion_model." + inner;
    }

    private static String compVisVae(String name) {
        String n = name.replace("mid_block.resnets.0.", "mid.block_1.")
                .replace("mid_block.resnets.1.", "mid.block_2.")
                .replace("mid_block.attentions.0.", "mid.attn_1.")
                .replace("attn_1.group_norm.", "attn_1.norm.")
                .replace("attn_1.to_out.0.", "attn_1.proj_out.")
                .replaceAll("attn_1\\.to_([qkv])\\.", "attn_1.$1.")
                .replaceAll("down_blocks\\.(\\d)\\.", "down.$1.")
                .replace("up_blocks.0.", "up.x.")
                .replace("up_blocks.1.", "up.0.")
                .replace("up.x.", "up.1.")
                .replace(".resnets.", ".block.")
                .replace("downsamplers.0.", "downsample.")
                .replace("upsamplers.0.", "upsample.")
                .replace("conv_norm_out.", "norm_out.")
                .replace("conv_shortcut.", "nin_shortcut.");
        return "first_stage_model." + n;
    }

    /** The golden weights as a single file. */
    private static Map<String, Raw> single() {
        Map<String, Raw> all = renamed(unet, PretrainedDiffusionTest::compVis);
        vae.forEach((name, t) -> {
            boolean attends = name.matches(".*attentions\\.0\\.to_.*weight");
            all.put(
                    compVisVae(name),
                    attends ? new Raw(t.dtype, new long[] {t.shape[0], t.shape[1], 1, 1}, t.bytes) : t);
        });
        all.put("betas", Raw.zeros(10));
        all.put("model_ema.decay", Raw.zeros());
        all.put("cond_stage_model.transformer.text_model.embeddings.position_ids", Raw.zeros(1, 77));
        return all;
    }

    /** All 686 + 248 names of the real files, from a table made with both projects. */
    @Test
    void namesAreOneToOne() throws IOException {
        Map<String, String> ofUnet = new TreeMap<>(), ofVae = new TreeMap<>();
        List<String> lines = Files.readAllLines(GOLDEN.resolve("names.tsv"));
        for (String line : lines.subList(1, lines.size())) {
            String[] column = line.split("\t");
            boolean isUnet = column[0].equals("unet");
            String prefix = isUnet ? "model.diffusion_model." : "first_stage_model.";
            assertTrue(column[3].startsWith(prefix));
            (isUnet ? ofUnet : ofVae).put(column[3].substring(prefix.length()), column[1]);
        }
        assertEquals(686, ofUnet.size());
        assertEquals(248, ofVae.size());
        assertEquals(ofUnet, StableDiffusionNames.ofUnet(ofUnet.keySet()));
        assertEquals(ofVae, StableDiffusionNames.ofVae(ofVae.keySet()));
        Map<String, String> same = new TreeMap<>();
        for (String name : ofVae.values()) same.put(name, name);
        assertEquals(same, StableDiffusionNames.ofVae(same.keySet()), "diffusers' names stay");
    }

    @Test
    void theFolderItsPartsAndASingleFileHaveTheSameValues() throws IOException {
        Path file = folder.resolve("unet").resolve(WEIGHTS);
        for (Path path : List.of(folder, folder.resolve("unet"), file)) assertGolden(load(path));
        assertGolden(load(Path.of("").toAbsolutePath().relativize(file.toAbsolutePath())));
        InitialValues single = load(write(dir.resolve("single.safetensors"), single()));
        assertGolden(single);
        String notes = String.join("; ", single.notes());
        assertTrue(notes.contains("the UNet of Stable Diffusion, with the authors' names"), notes);
        int decoder = vae.size() - encoder().size();
        assertTrue(notes.contains("not needed: " + (decoder + 3) + " other tensors"), notes);
        Files.move(file, file.resolveSibling("diffusion_pytorch_model.fp16.safetensors"));
        assertGolden(load(folder));
    }

    @Test
    void everySpellingOfTheAttentionOfTheVaeIsRead() {
        Map<String, Raw> old = renamed(
                vae,
                n -> n.replace("attentions.0.to_q", "attentions.0.query")
                        .replace("attentions.0.to_k", "attentions.0.key")
                        .replace("attentions.0.to_v", "attentions.0.value")
                        .replace("attentions.0.to_out.0", "attentions.0.proj_attn"));
        assertTrue(old.containsKey("encoder.mid_block.attentions.0.proj_attn.bias"));
        write(folder.resolve("vae").resolve(WEIGHTS), old);
        assertGolden(load(folder));
        Map<String, Raw> bare = renamed(single(), n -> n);
        bare.keySet().removeIf(n -> !n.startsWith("first_stage_model."));
        write(folder.resolve("vae").resolve(WEIGHTS), renamed(bare, n -> n.substring("first_stage_model.".length())));
        assertGolden(load(folder));
    }

    @Test
    void movingAveragesArePreferredIfComplete() {
        Map<String, Raw> all = single();
        unet.forEach((name, t) -> {
            String key = compVis(name);
            all.put("model_ema." + key.substring("model.".length()).replace(".", ""), t);
            all.put(key, Raw.zeros(t.shape));
        });
        InitialValues values = load(write(dir.resolve("full.safetensors"), all));
        assertGolden(values);
        assertTrue(values.notes().contains("its moving averages are read (model_ema.*), not the last values"));
        all.remove("model_ema.diffusion_modeltime_embed0weight");
        values = load(write(dir.resolve("part.safetensors"), all));
        String notes = String.join("; ", values.notes());
        assertTrue(notes.contains("has moving averages of " + (unet.size() - 1) + " of " + unet.size()), notes);
        float[] last = TestModels.read(values).get("generator.unet.conv_in.bias");
        assertArrayEquals(new float[32], last);
    }

    /** A UNet that is read at its middle alone. */
    @Test
    void whatLiesBeyondTheLastMapIsNotNeeded() {
        List<Weights.Spec> middle = backbone().stream()
                .filter(s -> !s.name().matches("generator\\.unet\\.(up_blocks|conv_norm_out|conv_out)\\..*"))
                .toList();
        InitialValues values = load(folder, middle);
        assertEquals(middle.size() - 1, values.values().size());
        List<Weights.Spec> first = backbone().stream()
                .filter(s ->
                        !s.name().matches("generator\\.unet\\.(up_blocks\\.(1|0\\.ups).*|conv_norm_out.*|conv_out.*)"))
                .toList();
        assertEquals(first.size() - 1, load(folder, first).values().size());
    }

    @Test
    void theInterfaceOfTheReadoutBeginsLikeTheFirstConvolution() {
        List<Weights.Spec> specs = readout();
        InitialValues values = PretrainedDiffusion.readout(folder, specs, SETTINGS, 7);
        Map<String, float[]> all = TestModels.read(values);
        assertEquals(unet.size() - 4 + 2, all.size());
        Weights.Spec embedding = specs.get(specs.size() - 3);
        float[] start = embedding.init().make(embedding.shape(), 7, embedding.name()),
                got = all.get(embedding.name()),
                position = all.get("generator.cells.position");
        try (SafeTensors t = SafeTensors.open(GOLDEN.resolve("sd_unet_diffusers.safetensors"))) {
            float[] weight = t.floats("conv_in.weight"), bias = t.floats("conv_in.bias");
            for (int k = 0; k < 32; k++) {
                double sum = 0;
                for (int i = 0; i < 36; i++) sum += Math.pow(weight[k * 36 + i], 2);
                for (int v = 0; v < 5; v++)
                    assertEquals(start[v * 32 + k] * Math.sqrt(sum), got[v * 32 + k], 1e-6 * Math.sqrt(sum));
                for (int c = 0; c < 4; c++) assertEquals(bias[k], position[c * 32 + k]);
            }
            assertArrayEquals(
                    t.floats("mid_block.attentions.0.proj_in.weight"),
                    all.get("generator.denoiser.mid_block.attentions.0.proj_in.weight"));
        }
        String notes = String.join("; ", values.notes());
        assertTrue(notes.contains("not needed: 2 other tensors, 'conv_out."), notes);
        assertFalse(notes.contains("VAE"), "the readout needs none");
    }

    /** A mapping outlives the name of its file. */
    @Test
    void valuesAreReadWhenTheyAreAskedFor() throws IOException {
        Path file = folder.resolve("unet").resolve(WEIGHTS);
        InitialValues values = load(folder);
        write(file, renamed(Map.of("other", Raw.zeros(3)), n -> n)); // replaces the file
        Files.delete(file);
        assertGolden(values);
    }

    /** Those of the backbone with a token for each of a text. */
    private static List<Weights.Spec> withTokens(int width) {
        List<Weights.Spec> specs = backbone();
        specs.set(specs.size() - 1, spec("token", Init.VIT, 9, width));
        return specs;
    }

    private Path writeText(Map<String, Raw> tensors) {
        return write(folder.resolve("text_encoder/model.safetensors"), tensors);
    }

    /** The golden weights as a single file, with the text encoder. */
    private static Map<String, Raw> singleWithText() {
        Map<String, Raw> all = single();
        text.forEach((name, t) -> all.put("cond_stage_model.transformer." + name, t));
        return all;
    }

    @Test
    void theTokensBeginWithTheEmptyPrompt() throws IOException {
        Path file = writeText(with(text, "text_model.embeddings.position_ids", Raw.zeros(1, 9)));
        InitialValues values = load(folder, withTokens(24));
        float[] tokens = TestModels.read(values).get("generator.token");
        ClipTextTest.assertGolden(0, tokens);
        String notes = String.join("; ", values.notes());
        assertTrue(
                notes.contains(file + ": the text encoder of Stable Diffusion; the 9 tokens that the UNet attends to"
                        + " begin with its state for the empty prompt"),
                notes);
        assertTrue(notes.contains("not needed: 1 other tensors, 'text_model.embeddings.position_ids'"), notes);
        Files.move(file, file.resolveSibling("model.fp16.safetensors"));
        for (Path path : List.of(
                folder,
                folder.resolve("unet"),
                folder.resolve("unet").resolve(WEIGHTS),
                write(dir.resolve("single.safetensors"), singleWithText()))) {
            Map<String, float[]> all = TestModels.read(load(path, withTokens(24)));
            assertArrayEquals(tokens, all.get("generator.token"), path.toString());
            assertEquals(unet.size() + encoder().size() + 1, all.size());
        }
    }

    @Test
    void theTokensBeginAtRandomWithoutATextEncoder() throws IOException {
        Path single = write(dir.resolve("single.safetensors"), single());
        Files.writeString(folder.resolve("text_encoder/config.json"), "{}"); // without weights it is none
        for (Path path : List.of(folder, single)) {
            InitialValues values = load(path, withTokens(24));
            assertGolden(values);
            String notes = String.join("; ", values.notes());
            assertTrue(
                    notes.contains("warning: " + path + " has no text encoder: the 9 tokens that the UNet attends to"
                            + " begin at random. Set model.generator.sd.tokens to 1"),
                    notes);
        }
    }

    /** A single file counts it, and one in a folder of its own is not opened. */
    @Test
    void theTextEncoderIsNotReadForAnotherNumberOfTokens() throws IOException {
        Files.writeString(folder.resolve("text_encoder/model.safetensors"), "no tensors");
        assertGolden(load(folder));
        InitialValues values = load(write(dir.resolve("single.safetensors"), singleWithText()));
        assertGolden(values);
        String notes = String.join("; ", values.notes());
        int decoder = vae.size() - encoder().size();
        assertTrue(notes.contains("not needed: " + (decoder + 3 + text.size()) + " other tensors"), notes);
        assertFalse(notes.contains("text encoder"), notes);
    }

    private void textRefused(Map<String, Raw> tensors, String... parts) {
        writeText(tensors);
        refused(folder, withTokens(24), parts);
    }

    @Test
    void anotherTextEncoderIsRefusedByName() throws IOException {
        String table = "text_model.embeddings.token_embedding.weight",
                bias = "text_model.encoder.layers.1.mlp.fc1.bias",
                remedy = "Set model.generator.sd.tokens to 1";
        textRefused(with(text, table, Raw.zeros(60, 1024)), "text encoder of Stable Diffusion 2", "1024 wide", remedy);
        textRefused(with(text, table, Raw.zeros(61, 24)), "[61, 24], but that of Stable Diffusion 1 has [60, 24]");
        textRefused(with(text, bias, Raw.zeros(47)), "tensor '" + bias + "'", "[47]", "[48]", remedy);
        textRefused(with(text, bias, new Raw(DType.I8, new long[] {48}, new byte[48])), "dtype I8");
        textRefused(
                with(text, "text_model.encoder.layers.2.mlp.fc1.bias", Raw.zeros(48)),
                "the text encoder of Stable Diffusion 1 has no place (1): 'encoder.layers.2.mlp.fc1.bias'",
                remedy);
        Map<String, Raw> part = new LinkedHashMap<>(text);
        part.remove(bias);
        textRefused(
                part,
                "lacks 1 of the 36 tensors of the text encoder of Stable Diffusion 1",
                "'encoder.layers.1.mlp.fc1.bias'",
                remedy);
        textRefused(unet, "holds no text encoder");
        Map<String, Raw> two = singleWithText();
        text.forEach((name, t) -> two.put("other." + name, t));
        refused(changed(two), withTokens(24), "holds several text encoders");
        writeText(text);
        refused(folder, withTokens(32), "tokens of 24 numbers, but the UNet attends to tokens of 32", remedy);
        Raw nan = new Raw(DType.F16, new long[] {60, 24}, filled(2 * 60 * 24, (byte) 0x7e));
        writeText(with(text, table, nan));
        InitialValues values = load(folder, withTokens(24));
        InputException e = assertThrows(InputException.class, () -> TestModels.read(values));
        assertTrue(e.getMessage().contains("NaN at index [58, 0]"), e.getMessage());
        Path encoder = folder.resolve("text_encoder"), file = encoder.resolve("model.safetensors");
        Files.move(file, encoder.resolve("clip.safetensors"));
        refused(folder, withTokens(24), "has no model.safetensors, but clip.safetensors. " + remedy);
        Files.move(encoder.resolve("clip.safetensors"), encoder.resolve("model-00001-of-00002.safetensors"));
        refused(folder, withTokens(24), "has weights in 1 parts. " + remedy);
        Files.move(encoder.resolve("model-00001-of-00002.safetensors"), encoder.resolve("pytorch_model.bin"));
        refused(folder, withTokens(24), "has no model.safetensors, but pytorch_model.bin, a pickle");
        Map<String, Raw> single = singleWithText();
        single.remove("cond_stage_model.transformer." + bias);
        Path shard = write(dir.resolve("sd-00001-of-00002.safetensors"), single);
        refused(shard, withTokens(24), "lacks 1 of the 36 tensors", "The file is one of several parts. " + remedy);
    }

    private static void refused(Path path, String... parts) {
        refused(path, backbone(), parts);
    }

    private static void refused(Path path, List<Weights.Spec> specs, String... parts) {
        InputException e = assertThrows(InputException.class, () -> load(path, specs));
        for (String part : parts) assertTrue(e.getMessage().contains(part), e.getMessage());
    }

    private Path changed(Map<String, Raw> tensors) {
        return write(dir.resolve("changed.safetensors"), tensors);
    }

    private static Map<String, Raw> with(Map<String, Raw> tensors, String name, Raw t) {
        Map<String, Raw> all = new LinkedHashMap<>(tensors);
        all.put(name, t);
        return all;
    }

    @Test
    void aUnetOfAnotherFormIsToldTheOptions() {
        List<Weights.Spec> specs = new ArrayList<>(backbone());
        specs.removeIf(s -> s.name().contains("down_blocks.1.") || s.name().contains("attn2"));
        specs.add(spec("unet.down_blocks.0.resnets.1.conv1.bias", Init.ZEROS, 32));
        specs.add(spec("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", Init.ZEROS, 64, 768));
        InputException e = assertThrows(InputException.class, () -> load(folder, specs));
        assertTrue(
                e.getMessage()
                        .contains("channels [32, 64], 1 blocks, attention at 1 levels, context 24. Give"
                                + " -o model.generator.sd_unet.channels=[32,64] -o model.generator.sd_unet.blocks=1"
                                + " -o model.generator.sd_unet.context=24"),
                e.getMessage());
        AtomicFiles.writeString(
                folder.resolve("unet/config.json"), "{\"attention_head_dim\": 8, \"norm_num_groups\": 32}");
        refused(folder, "Give -o model.generator.sd_unet.heads=8");
        AtomicFiles.writeString(folder.resolve("unet/config.json"), "{\"attention_head_dim\": 4}");
        assertGolden(load(folder));
        AtomicFiles.writeString(folder.resolve("vae/config.json"), "{\"scaling_factor\": 0.13025}");
        refused(folder, "config.json, key 'scaling_factor'", "0.13025");
    }

    @Test
    void whatIsMissingOrHasNoPlaceOrAnotherShapeIsNamed() throws IOException {
        Map<String, Raw> all = single();
        all.remove("model.diffusion_model.middle_block.1.norm.bias");
        refused(changed(all), "lacks 1 of the", "UNet", "'mid_block.attentions.0.norm.bias'");
        refused(changed(with(single(), "model.diffusion_model.extra.weight", Raw.zeros(2))), "no place (1): 'extra");
        refused(
                changed(with(single(), "first_stage_model.encoder.down.0.attn.0.q.weight", Raw.zeros(2))),
                "VAE has no place (1)");
        refused(
                changed(with(single(), "model.diffusion_model.output_blocks.1.2.conv.bias", Raw.zeros(64))),
                "two tensors for 'up_blocks.0.upsamplers.0.conv.bias'");
        refused(
                changed(with(single(), "model.diffusion_model.out.0.bias", Raw.zeros(31))),
                "tensor 'model.diffusion_model.out.0.bias'",
                "[31]",
                "[32]");
        refused(
                changed(with(
                        single(),
                        "model.diffusion_model.out.0.bias",
                        new Raw(DType.I8, new long[] {32}, new byte[32]))),
                "dtype I8");
        Map<String, Raw> without = single();
        without.keySet().removeIf(n -> n.startsWith("first_stage_model."));
        refused(changed(without), "holds a UNet, and there is no folder vae");
        InputException patches = assertThrows(InputException.class, () -> load(folder, specs("unet.", unet)));
        assertTrue(patches.getMessage().contains("Set model.generator.sd.latent to vae"), patches.getMessage());
        byte[] bytes = Files.readAllBytes(changed(single()));
        Path cut = dir.resolve("cut.safetensors");
        Files.write(cut, Arrays.copyOf(bytes, bytes.length - 100));
        refused(cut, "cut.safetensors", "not a valid safetensors file");
        Map<String, Raw> nan = single();
        nan.put("model.diffusion_model.out.0.bias", new Raw(DType.F16, new long[] {32}, filled(64, (byte) 0x7e)));
        InputException e = assertThrows(InputException.class, () -> TestModels.read(load(changed(nan))));
        assertTrue(e.getMessage().contains("NaN at index [0]"), e.getMessage());
    }

    private static byte[] filled(int n, byte b) {
        byte[] bytes = new byte[n];
        Arrays.fill(bytes, b);
        return bytes;
    }

    @Test
    void otherVersionsAreRefusedByName() {
        refused(
                changed(with(single(), "model.diffusion_model.input_blocks.0.0.weight", Raw.zeros(32, 9, 3, 3))),
                "inpainting");
        refused(
                changed(with(single(), "model.diffusion_model.input_blocks.0.0.weight", Raw.zeros(32, 8, 3, 3))),
                "InstructPix2Pix");
        String block = "model.diffusion_model.input_blocks.1.1.";
        String context = block + "transformer_blocks.0.attn2.to_k.weight";
        refused(changed(with(single(), context, Raw.zeros(32, 1024))), "Stable Diffusion 2", "1024");
        refused(changed(with(single(), context, Raw.zeros(32, 2048))), "Stable Diffusion XL", "2048");
        refused(changed(with(single(), block + "proj_in.weight", Raw.zeros(32, 32))), "Stable Diffusion 2", "linear");
        Map<String, String> others = new LinkedHashMap<>();
        others.put("model.diffusion_model.label_emb.0.0.weight", "Stable Diffusion XL");
        others.put("add_embedding.linear_1.weight", "Stable Diffusion XL");
        others.put("control_model.time_embed.0.weight", "ControlNet");
        others.put("controlnet_cond_embedding.conv_in.weight", "ControlNet");
        others.put("down_blocks.0.motion_modules.0.norm.weight", "videos");
        others.put("model.diffusion_model.joint_blocks.0.x_block.weight", "diffusion transformer");
        others.put("unet.down_blocks.0.attentions.0.to_q.lora_A.weight", "an adapter");
        others.put("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "an adapter");
        others.put("unet.down_blocks.0.attn1.processor.to_q_lora.lora.up.weight", "an adapter");
        others.forEach((tensor, what) -> refused(changed(Map.of(tensor, Raw.zeros(2))), what, "'" + tensor + "'"));
        refused(changed(vae), "holds the VAE of Stable Diffusion, but no UNet");
        refused(folder.resolve("vae"), "holds the VAE of Stable Diffusion, but no UNet");
        refused(
                changed(Map.of("text_model.embeddings.token_embedding.weight", Raw.zeros(2, 2))),
                "holds a text encoder, but no UNet");
        refused(GOLDEN.resolve("clip_text.safetensors"), "holds a text encoder, but no UNet");
        refused(GOLDEN.resolve("clip_vision.safetensors"), "holds a CLIP or another ViT", "type vit");
        refused(changed(Map.of("some.weight", Raw.zeros(2))), "has no UNet of Stable Diffusion among its 1 tensors");
        refused(changed(Map.of()), "has no tensor");
        refused(
                write(
                        dir.resolve("diffusion_pytorch_model-00001-of-00002.safetensors"),
                        Map.of("a.weight", Raw.zeros(2))),
                "one of several parts",
                "UNet2DConditionModel");
        refused(Path.of("src/test/resources/checkpoints/0.1-vit-patch.safetensors"), "a checkpoint of CortiGAN");
        Map<String, Raw> two = renamed(unet, n -> "unet." + n);
        two.putAll(renamed(unet, n -> "unet_ema." + n));
        refused(changed(two), "holds several UNets", "'unet.' and 'unet_ema.'");
    }

    @Test
    void picklesAndFoldersWithoutWeightsAreRefused() throws IOException {
        Path ckpt = dir.resolve("v1-5.ckpt");
        byte[] zip = "PK\3\4......................\20\0\0\0archive/data.pkl".getBytes(StandardCharsets.ISO_8859_1);
        Files.write(ckpt, zip);
        refused(ckpt, "v1-5.ckpt", "is no safetensors file but a PyTorch file", "weights_only=True", "['state_dict']");
        Files.write(ckpt, new byte[] {(byte) 0x80, 2, '}', 'q', 0, '.', 0, 0, 0, 0});
        refused(ckpt, "is no safetensors file but a Python pickle", "weights_only=True");
        Path unetFolder = folder.resolve("unet");
        Files.delete(unetFolder.resolve(WEIGHTS));
        refused(folder, unetFolder.toString(), "has no diffusion_pytorch_model.safetensors. Give Stable Diffusion 1.x");
        Files.write(unetFolder.resolve("diffusion_pytorch_model.bin"), zip);
        refused(folder, "but diffusion_pytorch_model.bin, a pickle, which is not read. Convert it");
        write(unetFolder.resolve("diffusion_pytorch_model-00001-of-00002.safetensors"), Map.of("a", Raw.zeros(2)));
        refused(folder, "has weights in 1 parts. Join them");
        Path other = Files.createDirectory(dir.resolve("other"));
        refused(other, "has no unet/diffusion_pytorch_model.safetensors. Give");
        write(other.resolve("sd-v1.safetensors"), single());
        refused(other, "but sd-v1.safetensors. Give one of these files");
        refused(dir.resolve("absent"), "no such file");
        Path empty = Files.write(dir.resolve("empty.safetensors"), new byte[0]);
        refused(empty, "an empty file");
    }

    /** The files of one kind given where the other is wanted. */
    @Test
    void aVitIsToldFromStableDiffusion() {
        for (Path path :
                List.of(folder, folder.resolve("unet"), folder.resolve("unet").resolve(WEIGHTS), changed(single()))) {
            InputException e = assertThrows(InputException.class, () -> PretrainedVit.form(path));
            assertTrue(e.getMessage().contains("of Stable Diffusion"), e.getMessage());
            assertTrue(e.getMessage().contains("train.init_unet"), e.getMessage());
        }
        ModelConfig vit = TestModels.model(TestModels.generator(), TestModels.discriminator(), 2, 3);
        assertFalse(PretrainedDiffusion.isBackbone(vit.generator()));
        InputException e = assertThrows(InputException.class, () -> PretrainedDiffusion.readout(folder, vit, 0));
        assertTrue(e.getMessage().contains("'train.init_unet'"), e.getMessage());
        assertTrue(e.getMessage().contains("Set model.generator.readout to diffusion"), e.getMessage());
    }

    /** CLIP's tokens are in the space that the UNet attends to after its projection. */
    @Test
    void theConditionBeginsWithTheProjectionOfClip() {
        Path clip = GOLDEN.resolve("clip_vision.safetensors");
        VitFile f = VitFile.read(clip);
        try (SafeTensors t = SafeTensors.open(clip)) {
            float[] want = t.floats("visual_projection.weight");
            int out = (int) t.entry("visual_projection.weight").shape()[0];
            Weights.Spec weight = spec("readout." + f.depth() + ".weight", Init.VIT, out, f.width()),
                    bias = spec("readout." + f.depth() + ".bias", Init.VIT, out),
                    square = spec("condition.proj.weight", Init.VIT, out, out),
                    direct = spec("condition.proj.weight", Init.VIT, out, f.width());
            Map<String, float[]> got = TestModels.read(PretrainedVit.projection(t, f, List.of(weight, bias, square)));
            assertArrayEquals(want, got.get(weight.name()));
            assertArrayEquals(new float[out], got.get(bias.name()));
            for (int i = 0; i < out * out; i++)
                assertEquals(i % (out + 1) == 0 ? 1 : 0, got.get(square.name())[i], "the identity");
            assertArrayEquals(
                    want,
                    TestModels.read(PretrainedVit.projection(t, f, List.of(direct)))
                            .get(direct.name()));
            assertEquals(InitialValues.NONE, PretrainedVit.projection(t, f, List.of(weight, bias)), "no UNet");
            InitialValues other = PretrainedVit.projection(
                    t, f, List.of(spec("condition.proj.weight", Init.VIT, out + 1, f.width())));
            assertEquals(Map.of(), other.values());
            assertTrue(
                    other.notes().get(0).contains("does not fit the recipe's"),
                    other.notes().get(0));
        }
    }

    @Test
    void theProjectionOfOpenAiIsTurned() {
        Map<String, Raw> all = tensors("clip_vision");
        Path hf = write(dir.resolve("hf.safetensors"), all);
        VitFile f = VitFile.read(hf);
        VitFile named = new VitFile(
                f.path(),
                f.family(),
                f.prefix(),
                f.width(),
                f.depth(),
                f.patch(),
                f.hidden(),
                f.registers(),
                f.layerScale(),
                f.preNorm(),
                f.positions(),
                f.sources(),
                List.of("visual.proj"),
                f.config());
        float[] turned = {1, 2, 3, 4, 5, 6};
        Path file = Backbones.write(
                dir.resolve("open.safetensors"),
                Map.of("visual.proj", new Backbones.Tensor(new long[] {3, 2}, turned)));
        try (SafeTensors t = SafeTensors.open(file)) {
            InitialValues values =
                    PretrainedVit.projection(t, named, List.of(spec("condition.proj.weight", Init.VIT, 2, 3)));
            assertArrayEquals(
                    new float[] {1, 3, 5, 2, 4, 6}, TestModels.read(values).get("generator.condition.proj.weight"));
        }
    }
}
