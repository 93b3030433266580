// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;
import org.cortigan.prof.Ceilings;
import org.cortigan.prof.Profile;
import org.cortigan.train.RandomData;
import org.cortigan.train.Recipe;
import org.cortigan.train.Trainer;

/**
 * Times whole training steps under the names of tools/gpu_peer_steps.py: without a discriminator, with a convolutional
 * one and with a ViT; without a discriminator also in FP8. "step sd B", under the name of tools/gpu_peer_sd.py, is that
 * of the recipe sd-finetune on B photographs, whose tokens are given, as those of a frozen backbone are.
 */
final class OwnSteps {
    /** Properties that make kernels of a step wait for each other which otherwise overlap. */
    private static final List<String> OFF = List.of("cortigan.cuda.streams=1", "cortigan.cuda.earlyLaunch=false");

    private OwnSteps() {}

    static void add(Piece p) {
        for (String name : p.asked()) {
            List<String> w = List.of(
                    name.split(" ")); // "step", discriminator or "sd" and batch, attention implementation or precision
            String attention = w.contains("wgmma") ? "wgmma" : "mma";
            boolean fp8 = w.contains("fp8");
            if (!p.attentions().contains(attention)) continue;
            // The small model has no layer that computes in FP8.
            if (fp8 && (p.small || !p.device.supports(Precision.FP8))) continue;
            p.item(
                    name,
                    map("stage", "steps", "who", "ours"),
                    () -> p.preferring(attention, () -> {
                        if (w.get(1).equals("sd")) diffusion(p, name, p.small ? 2 : Integer.parseInt(w.get(2)));
                        else step(p, name, w.get(1), fp8);
                    }));
        }
    }

    private static void step(Piece p, String name, String gan, boolean fp8) throws IOException {
        Recipe r = Recipe.load("vit-corr-2d");
        for (String o : options(p, gan)) r = r.with(o);
        if (fp8) r = r.with("train.precision=fp8");
        RandomData data = step(p, name, r, fp8);
        if (gan.equals("none")) for (String property : OFF) without(p, r, data, name, property);
    }

    private static void diffusion(Piece p, String name, int batch) throws IOException {
        Recipe r = Recipe.load(p.small ? "sd-finetune-tiny" : "sd-finetune");
        for (String o : List.of(
                "train.precision=" + (p.half() == DType.BF16 ? "bf16" : "fp32"),
                "train.validation=0",
                "train.batch=" + batch)) r = r.with(o);
        step(p, name, r, false);
    }

    private static RandomData step(Piece p, String name, Recipe r, boolean fp8) throws IOException {
        int batch = r.section("train").integer("batch", 1),
                side = r.section("model").section("generator").integer("image", 1);
        RandomData data = new RandomData(2 * batch, p.small ? 300 : 19008, p.small ? 340 : 20544, side * side * 3);
        try (Trainer t = new Trainer(r, data, p.device, null)) {
            t.fillInputs();
            Session s = t.session();
            int n = p.small ? 3 : 10;
            double[] ms = times(s, n);
            long begin = System.nanoTime();
            for (int i = 0; i < n; i++) s.run();
            s.synchronize();
            double inARow = (System.nanoTime() - begin) / 1e6 / n;
            Ceilings c = p.ceilings();
            double flops = 0, bytes = 0, floor = 0;
            for (Node node : s.launched()) {
                Cost k = Op.of(node).cost(node);
                flops += k.flops();
                bytes += k.bytes();
                floor += c.floorSeconds(node);
            }
            Map<String, Object> line = p.measured("steps", name, ms);
            if (fp8) line.put("precision", Precision.FP8);
            line.putAll(map(
                    "ms_unsynchronised",
                    inARow,
                    "batch",
                    batch,
                    "nodes",
                    s.launched().length,
                    "floor_ms",
                    floor * 1e3,
                    "gflop",
                    flops / 1e9,
                    "mb",
                    bytes / 1e6,
                    "served",
                    p.served(s)));
            Piece.line(line);
            if (!p.has("--profile")) return data;
            Map<String, Object> profile = map("stage", "profile", "name", name);
            profile.putAll(Profile.of(s, c, 1, p.small ? 1 : 3).json());
            Piece.line(profile);
        }
        return data;
    }

    /** Milliseconds of n steps after three others, with a synchronisation after each; ascending. */
    private static double[] times(Session s, int n) {
        for (int i = 0; i < 3; i++) s.run();
        s.synchronize();
        double[] ms = new double[n];
        for (int i = 0; i < n; i++) {
            long begin = System.nanoTime();
            s.run();
            s.synchronize();
            ms[i] = (System.nanoTime() - begin) / 1e6;
        }
        Arrays.sort(ms);
        return ms;
    }

    /** Times the step with one of {@link #OFF}. */
    private static void without(Piece p, Recipe r, RandomData data, String name, String property) {
        String[] w = property.split("=");
        System.setProperty(w[0], w[1]);
        try (Trainer t = new Trainer(r, data, p.device, null)) {
            t.fillInputs();
            Piece.line(p.measured("steps without", name + " -D" + property, times(t.session(), p.small ? 3 : 10)));
        } finally {
            System.clearProperty(w[0]);
        }
    }

    private static List<String> options(Piece p, String gan) {
        boolean small = p.small;
        List<String> o = new ArrayList<>(List.of(
                "train.precision=" + (p.half() == DType.BF16 ? "bf16" : "fp32"),
                "train.validation=0",
                "model.discriminator.per=all",
                "train.batch=" + (small ? 2 : 128),
                "model.discriminator.type=" + gan));
        if (gan.equals("none")) o.add("loss.gan_weight=0");
        if (small)
            o.addAll(List.of(
                    "model.generator.vit.size=custom",
                    "model.generator.image=32",
                    "model.generator.vit.width=64",
                    "model.generator.vit.depth=2",
                    "model.generator.vit.heads=1"));
        if (gan.equals("conv")) o.add("model.discriminator.conv.channels=" + (small ? "[8, 16]" : "[64, 128, 256]"));
        if (gan.equals("vit"))
            o.addAll(List.of(
                    "model.discriminator.vit.patch=192",
                    "model.discriminator.vit.width=" + (small ? 64 : 384),
                    "model.discriminator.vit.depth=" + (small ? 2 : 12),
                    "model.discriminator.vit.heads=" + (small ? 1 : 6)));
        return o;
    }
}
