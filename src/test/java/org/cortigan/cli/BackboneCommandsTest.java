// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Backbones;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Gives the files of pre-trained ViTs to the commands. */
@Tag("slow")
class BackboneCommandsTest {
    @TempDir
    static Path dir;

    private static Path data;

    private record Result(int code, String out, String err) {}

    @BeforeAll
    static void write() {
        Backbones.unpack(dir);
        data = dir.resolve("data");
        SmallSubject.write(data, 24, 6);
    }

    private static Result run(Object... args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        List<String> a = new ArrayList<>();
        for (Object o : args) a.add(o.toString());
        int code = c.execute(a.toArray(new String[0]));
        return new Result(code, out.toString(), err.toString());
    }

    private static String ok(Object... args) {
        Result r = run(args);
        assertEquals(0, r.code, r.err);
        return r.err;
    }

    private static String refused(Object... args) {
        Result r = run(args);
        assertEquals(1, r.code, r.out + r.err);
        assertFalse(r.err.contains("\tat "), r.err);
        return r.err.strip().lines().reduce((a, b) -> b).orElse("");
    }

    private static Path file(String name) {
        return dir.resolve(name).resolve("model.safetensors");
    }

    @Test
    void aRunOnABackboneNeedsNoOptionToResume() throws Exception {
        Path run = dir.resolve("run");
        String err = ok(
                "train",
                "-c",
                "vit-gan-tiny",
                "--data",
                data,
                "--device",
                "cpu",
                "--run",
                run,
                "--backbone",
                file("timm-dinov2-registers"),
                "-o",
                "train.epochs=1",
                "-o",
                "train.batch=8",
                "-o",
                "model.discriminator.type=none",
                "-o",
                "loss.gan_weight=0",
                "-o",
                "optimizer.learning_rate=0");
        assertTrue(
                err.contains("backbone: a ViT with timm's names: width 24, depth 2, 4 heads, patch 8, 4 registers"),
                err);
        assertTrue(err.contains("(imagenet), by config.json"), err);
        String recipe = Files.readString(run.resolve("recipe.yaml"));
        for (String line : List.of("preprocess: custom", "registers: 4", "layer_scale: true", "image: 32", "heads: 4"))
            assertTrue(recipe.contains(line), recipe);
        try (SafeTensors now = SafeTensors.open(run.resolve("last.safetensors"));
                SafeTensors then = SafeTensors.open(file("timm-dinov2-registers"))) {
            for (String name : List.of("reg_token", "blocks.1.ls2.gamma", "patch_embed.proj.weight"))
                assertArrayEquals(then.floats(name), now.floats("generator." + name), name);
        }
        err = ok(
                "train",
                "-c",
                run.resolve("recipe.yaml"),
                "--data",
                data,
                "--device",
                "cpu",
                "--run",
                run,
                "--resume",
                "auto",
                "-o",
                "train.epochs=2");
        assertTrue(err.contains("resumed at step"), err);
        assertFalse(err.contains("initial weights"), err);
        assertTrue(
                refused("evaluate", run.resolve("recipe.yaml"), "--data", data).contains("Give that folder: "));
        assertTrue(refused("predict", run.resolve("metrics.csv"), "--data", data, "--out", dir.resolve("p"))
                .contains("is no checkpoint but another file of a run's folder"));
        assertTrue(refused(
                        "train",
                        "-c",
                        "quickstart",
                        "--data",
                        data,
                        "--run",
                        dir.resolve("other"),
                        "--resume",
                        run.resolve("environment.json"))
                .contains("Give that folder: "));
    }

    @Test
    void initTellsWhatItReadAndRefusesWhatDoesNotFit() {
        Object[] vit = {
            "train",
            "-c",
            "vit-gan-tiny",
            "--data",
            data,
            "--device",
            "cpu",
            "--dry-run",
            "--init",
            file("hf-clip"),
            "-o",
            "model.generator.image=32",
            "-o",
            "model.generator.vit.width=24",
            "-o",
            "model.generator.vit.depth=2"
        };
        String last = refused(vit);
        assertTrue(
                last.contains(
                        "Give -o model.generator.vit.pre_norm=true -o model.generator.vit.activation=quick_gelu -o"
                                + " model.generator.vit.norm_eps=1.0E-5, or --backbone"),
                last);
        Object[] fitted = java.util.stream.Stream.concat(
                        java.util.Arrays.stream(vit),
                        java.util.stream.Stream.of(
                                "-o",
                                "model.generator.vit.pre_norm=true",
                                "-o",
                                "model.generator.vit.activation=quick_gelu",
                                "-o",
                                "model.generator.vit.norm_eps=1e-5"))
                .toArray();
        String err = ok(fitted);
        assertTrue(err.contains("initial weights: "), err);
        assertTrue(err.contains("(clip), by preprocessor_config.json"), err);
        assertTrue(err.contains("its names begin with 'vision_model.'"), err);
        last = refused(
                "train", "-c", "vit-gan-tiny", "--data", data, "--device", "cpu", "--dry-run", "--init-unet", "sd");
        assertTrue(last.contains("'train.init_unet': sd is for the UNet of the readout diffusion"), last);
        last = refused("train", "-c", "quickstart", "--data", data, "--init", "a", "--backbone", "b");
        assertTrue(last.contains("--backbone b: is given beside --init"), last);
    }

    @Test
    void baselineReadsTheFeaturesOfAFileAlone() {
        String err = ok("baseline", "--data", data, "--device", "cpu", "--features", file("hf-dinov2-registers"));
        assertTrue(err.contains("weights: " + file("hf-dinov2-registers")), err);
        assertTrue(err.contains("photographs of 32 pixels"), err);
    }
}
