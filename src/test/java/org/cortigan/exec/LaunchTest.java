// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static java.util.Map.entry;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.cortigan.PtxasReport;
import org.cortigan.PtxasReport.Kernel;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.Cast;
import org.cortigan.op.GroupedMatmul;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.op.Ops;
import org.cortigan.train.Recipe;
import org.cortigan.train.StepGraph;
import org.cortigan.train.StepSettings;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Checks that GPUs can launch what the host functions request. Launches every case of every op, including the benchmark
 * cases, and training steps of the recipes at full size on a {@link DryDevice}, and compares each launch with the
 * limits of the hardware and with ptxas's report of its kernel.
 */
@Tag("slow")
class LaunchTest {
    /**
     * Limits of every card: threads of a block, registers of a block, bytes of parameters of a launch, blocks along x,
     * and blocks along y and z.
     */
    private static final long THREADS = 1024, REGISTERS = 65_536, PARAMETERS = 32_764, X = (1L << 31) - 1, YZ = 65_535;

    /**
     * Bytes of static and dynamic shared memory that a launch gets without opting in, and the dynamic size above which
     * launch_named opts in.
     */
    private static final int SHARED_WITHOUT_OPT_IN = 48 << 10, OPT_IN_ABOVE = 32 << 10;

    /**
     * What an SM of compute capability 9.0 holds: warps, blocks, and bytes of shared memory, of which every block also
     * takes the reserved ones. A warp has its registers in one of the four parts of the SM.
     */
    private static final long WARPS = 64, BLOCKS = 32, SM_SHARED = 233_472, RESERVED = 1024, PART = REGISTERS / 4;

    /** The blocks that an SM of compute capability 9.0 must hold at a time, by the beginning of the kernel's name. */
    private static final Map<String, Integer> RESIDENT = new TreeMap<>(Map.ofEntries(
            entry("activate<", 8),
            entry("combine_all<", 8),
            entry("convert<", 8),
            entry("drop<", 8),
            entry("assemble_rows<", 8),
            entry("quantize_tile<bf16, ", 8),
            entry("adam_step", 4),
            entry("square_sums", 8),
            entry("normalise<bf16, 3>", 10),
            entry("normalise_grad<bf16, 3, 32>", 2),
            entry("sum_parts<bf16, 8>", 5),
            entry("swap_narrow<bf16,", 8),
            entry("sliced::sliced_product<bf16, sliced::Config<bf16, 128, 128,", 2),
            entry("sliced::sliced_product<bf16, sliced::Config<bf16, 16, 64,", 4),
            entry("sliced::sliced_product<float,", 2),
            entry("apply<bf16, 8, 1>", 5),
            entry("statistics<bf16, 8>", 2),
            entry("over_images4<bf16, 4>", 3),
            entry("sm90::forward_wgmma<", 3),
            entry("sm90::grad_wgmma", 3),
            entry("forward_mma<64, 32>", 2),
            entry("grad_queries<64, 16>", 2),
            entry("grad_keys<64, 32>", 1),
            entry("forward_mma<48, 32>", 2),
            entry("forward_mma<80, 16>", 2),
            entry("grad_queries<48, 16>", 2),
            entry("sm90::forward_tiled<", 1),
            entry("sm90::grad_queries_tiled<", 1),
            entry("sm90::grad_keys_tiled<", 1)));

    private static final int LEFT = 19_004, RIGHT = 20_544;

    /**
     * The architectures of the report that run on a card, by the card's shared memory. Cards that run PTX of 8.0 are
     * checked with 8.0's registers.
     */
    private static final Map<Integer, List<String>> CARDS = Map.of(
            DryDevice.HOPPER,
            List.of("sm_90a", "sm_100"),
            DryDevice.AMPERE,
            List.of("sm_80"),
            DryDevice.SMALL,
            List.of("sm_80"));

    private record Launch(
            String file,
            long[] grid,
            long threads,
            long shared,
            long parameters,
            String kernel,
            int card,
            String where) {
        /** @param line a line of native/sim/launches.h, with the kernel named as in the report */
        static Launch of(String line, int card, String where) {
            String[] f = line.split("\t");
            long[] n =
                    IntStream.range(1, 9).mapToLong(i -> Long.parseLong(f[i])).toArray();
            return new Launch(f[0], Arrays.copyOf(n, 3), n[3] * n[4] * n[5], n[6], n[7], f[9], card, where);
        }

        @Override
        public String toString() {
            return where + ": " + kernel + " of " + file + ", grid " + grid[0] + " x " + grid[1] + " x " + grid[2]
                    + " of " + threads + " threads, " + shared + " bytes of dynamic shared memory";
        }
    }

    private static List<Launch> launches;

    @BeforeAll
    static void launchEverything() throws Exception {
        Map<String, Graph> all = graphs();
        List<String> lines = new ArrayList<>(), where = new ArrayList<>();
        List<Integer> cards = new ArrayList<>();
        for (int size : CARDS.keySet()) {
            DryDevice card = new DryDevice(size);
            Map<String, String> seen = new LinkedHashMap<>();
            all.forEach((what, g) -> card.launches(g).forEach(l -> seen.putIfAbsent(l, what)));
            evaluations(card, seen);
            boolean hopper = CARDS.get(size).contains("sm_90a");
            all.forEach((what, g) -> {
                for (String name : OpCheck.alternatives(g, card))
                    if (hopper || !name.equals("wgmma"))
                        card.preferring(name).launches(g).forEach(l -> seen.putIfAbsent(l, what + ", " + name));
            });
            lines.addAll(seen.keySet());
            where.addAll(seen.values());
            cards.addAll(Collections.nCopies(seen.size(), size));
        }
        List<String> named = names(lines);
        launches = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) launches.add(Launch.of(named.get(i), cards.get(i), where.get(i)));
    }

    /** Rewrites the kernel names in the lines as the report has them. */
    private static List<String> names(List<String> lines) throws Exception {
        Path file = Files.createTempFile("launches", ".txt");
        Files.write(file, lines);
        Process p = new ProcessBuilder("tools/ptxas-report", "--names")
                .redirectInput(file.toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        List<String> out = p.inputReader(StandardCharsets.UTF_8).lines().toList();
        assertEquals(0, p.waitFor(), "tools/ptxas-report --names");
        assertEquals(lines.size(), out.size());
        Files.delete(file);
        return out;
    }

    private static Map<String, Graph> graphs() {
        Map<String, Graph> all = new LinkedHashMap<>();
        for (DType t : new DType[] {DType.F32, DType.BF16}) {
            for (OpCase c : OpCases.all()) all.put(c.name() + " " + t, graph(c, t));
            for (OpCase c : wide()) all.put(c.name() + " " + t, graph(c, t));
            for (OpCase c : products()) all.put(c.name() + " " + t, graph(c, t));
            steps(t, all);
        }
        return all;
    }

    private static Graph graph(OpCase c, DType t) {
        CaseInputs s = new CaseInputs(t);
        OpCheck.build(c, s, OpCheck.hasGradient(c));
        return s.graph();
    }

    /** Cases with more heads or vectors than a grid may have blocks along y. */
    private static List<OpCase> wide() {
        List<OpCase> c = new ArrayList<>();
        for (int d : new int[] {16, 32, 40, 64, 80, 128, 160}) {
            c.add(OpCase.of(
                    "attention of 8192 photographs, 12 heads of " + d,
                    1,
                    s -> List.of(Ops.attention(s.normal(8192, 197, 3 * 12 * d), 12))));
            c.add(OpCase.of(
                    "attention of 8192 class tokens, 12 heads of " + d,
                    1,
                    s -> List.of(Ops.attention(s.normal(8192, 1, 12 * d), s.normal(8192, 197, 2 * 12 * d), 12))));
        }
        c.add(OpCase.of("mean_middle 80000x12x64", 1, s -> List.of(Ops.meanMiddle(s.normal(80_000, 12, 64)))));
        return c;
    }

    /**
     * Cases with layouts, types and lengths of matrix products that ops allow but no model uses; on a GPU cuBLASLt
     * computes most of them.
     */
    private static List<OpCase> products() {
        List<OpCase> c = new ArrayList<>();
        for (int layout = 0; layout < 4; layout++)
            for (DType out : new DType[] {DType.F32, DType.BF16}) {
                boolean ta = (layout & 1) != 0, tb = (layout & 2) != 0;
                String name = "64x64x4096" + (ta ? " ta" : "") + (tb ? " tb" : "") + " to " + out + " from";
                c.add(OpCase.of(
                        "matmul " + name,
                        1,
                        s -> List.of(Ops.matmul(
                                data(s, ta ? 4096 : 64, ta ? 64 : 4096),
                                data(s, tb ? 64 : 4096, tb ? 4096 : 64),
                                ta,
                                tb,
                                null,
                                null,
                                out))));
                GroupedMatmul two = new GroupedMatmul(
                        Collections.nCopies(2, new GroupedMatmul.Extent(64, 64, 4096)),
                        new GroupedMatmul.Operand(GroupedMatmul.Where.FLAT, ta),
                        new GroupedMatmul.Operand(GroupedMatmul.Where.FLAT, tb),
                        false,
                        false,
                        GroupedMatmul.Where.FLAT,
                        out);
                c.add(OpCase.of(
                        "grouped_matmul 2 of " + name,
                        1,
                        s -> List.of(s.graph()
                                .apply(two, data(s, 2 * 64 * 4096), data(s, 2 * 64 * 4096))
                                .output(0))));
            }
        c.add(OpCase.of("grouped_conv1d of 256 channels", 1, s -> {
            List<Value> w = List.of(s.normal(128, 256, 1, 9), s.normal(128, 256, 1, 9));
            return List.of(Ops.groupedConv1d(s.normal(2 * 256 * (40 + 70)), 2, List.of(40, 70), w, null, null, 4));
        }));
        c.add(OpCase.of(
                "cast of bf16 to bf16",
                1,
                s -> List.of(s.graph()
                        .apply(new Cast(DType.BF16), s.normal(DType.BF16, 1003))
                        .output(0))));
        return c;
    }

    /** An input without a gradient. */
    private static Value data(CaseInputs s, int... dims) {
        return s.filled(s.compute(), r -> CaseInputs.gaussian(r, CaseInputs.elements(dims)), dims);
    }

    private static void steps(DType t, Map<String, Graph> to) {
        String[] gans = {
            "type=none",
            "type=mlp",
            "type=conv",
            "type=vit",
            "type=patch",
            "type=conv conv.channels=[64, 128, 256] per=all",
            "type=vit vit.patch=192 vit.width=384 vit.depth=12 vit.heads=6 per=all",
            "type=patch conv.channels=[16, 32] conv.stride=1 per=classes"
        };
        for (String gan : gans) to.put("step of vit-corr-2d " + t + ", " + gan, step("vit-corr-2d", t, 128, 0, gan));
        for (String r :
                List.of("vanilla-gan", "unet-corr-2d", "vanilla-patch-multi", "vit-patch-multi", "vit-position"))
            to.put("step of " + r + " " + t, step(r, t, 0, 9000, ""));
    }

    /** Adds the launches of the evaluations that validate a run. */
    private static void evaluations(DryDevice card, Map<String, String> seen) {
        for (String r : List.of("vit-corr-2d", "unet-corr-2d", "vit-position")) {
            ModelConfig m = model(Recipe.load(r));
            Runnable predict = () -> {
                try (Variables vars = new Variables(card);
                        Predictor p = new Predictor(
                                m,
                                m.subject(""),
                                card,
                                vars,
                                Weights.Use.PREDICT,
                                128,
                                false,
                                Predictor.Form.EVALUATION,
                                ResponseScaling.identity(m.subject("").vertices()))) {
                    p.run();
                }
            };
            card.launches(predict).forEach(l -> seen.putIfAbsent(l, "evaluation of " + r));
        }
    }

    private static ModelConfig model(Recipe r) {
        return ModelConfig.of(r.section("model"), List.of(new ModelConfig.Subject("", LEFT, RIGHT)));
    }

    /**
     * @param batch images of a batch, 0 for the recipe's
     * @param gan the discriminator's settings
     */
    private static Graph step(String recipe, DType t, int batch, int resident, String gan) {
        Recipe r = Recipe.load(recipe);
        for (String o : gan.isEmpty() ? new String[0] : gan.split(" (?=[a-z.]+=)"))
            r = r.with("model.discriminator." + o);
        StepSettings settings =
                StepSettings.of(r, model(r).subjects(), t == DType.BF16 ? Precision.BF16 : Precision.FP32);
        List<Region> regions = settings.model()
                .discriminator()
                .map(d -> d.regions().equals("classes") ? classes() : Regions.of(d.regions(), d.order(), LEFT, RIGHT))
                .orElse(List.of());
        int images = batch == 0 ? r.section("train").integer("batch", 1) : batch;
        return new StepGraph(settings, settings.model().subject(""), regions, images, resident).graph();
    }

    /** 36 regions of 20 to 2,470 vertices, like the ROIs of the functional classes. */
    private static List<Region> classes() {
        List<Region> all = new ArrayList<>();
        for (int i = 0, at = 0; i < 36; i++) {
            int n = 20 + i * i * 2, from = at;
            all.add(new Region("roi" + i, IntStream.range(from, from + n).toArray()));
            at += n;
        }
        return all;
    }

    @Test
    void everyLaunchIsWithinTheHardwareLimits() {
        List<String> wrong = new ArrayList<>();
        for (Launch l : launches) {
            if (l.threads < 1 || l.threads > THREADS) wrong.add(l + ": at most " + THREADS + " threads");
            if (l.shared > l.card) wrong.add(l + ": at most " + l.card);
            if (l.parameters > PARAMETERS)
                wrong.add(l + ": " + l.parameters + " bytes of parameters, at most " + PARAMETERS);
            if (l.grid[0] < 1 || l.grid[0] > X || l.grid[1] < 1 || l.grid[1] > YZ || l.grid[2] < 1 || l.grid[2] > YZ)
                wrong.add(l + ": at most " + X + " blocks along x, " + YZ + " along y and z");
        }
        assertNone(wrong, "launches that exceed the limits of a card");
        assertTrue(launches.stream().anyMatch(l -> l.parameters > 20_000), "no launch passes a large table of rows");
    }

    @Test
    void everyLaunchFitsItsKernelOnEveryArchitecture() {
        Map<String, Kernel> report = new HashMap<>();
        PtxasReport.read().forEach(k -> report.put(key(k.arch(), k.file(), k.name()), k));
        Set<String> built = new TreeSet<>();
        report.values().forEach(k -> built.add(k.arch()));
        List<String> wrong = new ArrayList<>();
        for (Launch l : launches) {
            // only sm_90a has wgmma
            List<String> archs = l.kernel.startsWith("sm90::") ? List.of("sm_90a") : CARDS.get(l.card);
            for (String a : archs) {
                if (!built.contains(a)) continue;
                Kernel k = report.get(key(a, l.file, l.kernel));
                String what = l + " on " + a;
                if (k == null) {
                    wrong.add(what + ": not in the report");
                    continue;
                }
                if (l.threads > k.threads()) wrong.add(what + ": compiled for at most " + k.threads() + " threads");
                long registers = (k.registers() + 7L) / 8 * 8 * ((l.threads + 31) / 32 * 32);
                if (registers > REGISTERS) wrong.add(what + ": " + registers + " registers, at most " + REGISTERS);
                long shared = k.shared() + l.shared;
                if (shared > l.card) wrong.add(what + ", " + k.shared() + " of static: at most " + l.card);
            }
        }
        for (Kernel k : report.values())
            if (k.shared() > SHARED_WITHOUT_OPT_IN - OPT_IN_ABOVE)
                wrong.add(
                        k + ": with " + OPT_IN_ABOVE
                                + " bytes of dynamic shared memory, for which launch_named does not opt in, the launch exceeds 48 KiB");
        assertNone(wrong, "launches that fail");
    }

    @Test
    void hotKernelsAreResidentAsDesigned() {
        Map<String, Kernel> report = new HashMap<>();
        PtxasReport.read().stream()
                .filter(k -> k.arch().equals("sm_90a"))
                .forEach(k -> report.put(key("", k.file(), k.name()), k));
        if (report.isEmpty()) return; // built without sm_90a
        List<String> wrong = new ArrayList<>();
        RESIDENT.forEach((name, designed) -> {
            List<Launch> of = launches.stream()
                    .filter(l -> l.card == DryDevice.HOPPER && l.kernel.startsWith(name))
                    .toList();
            if (of.isEmpty()) wrong.add(name + " is never launched");
            for (Launch l : of) {
                Kernel k = report.get(key("", l.file, l.kernel));
                if (resident(k, l) < designed)
                    wrong.add(l + ": " + k.registers() + " registers and " + k.shared()
                            + " bytes of static shared memory leave " + resident(k, l)
                            + " blocks an SM, designed for " + designed);
            }
        });
        assertNone(wrong, "launches that leave too few blocks on an SM");
    }

    /** The blocks of a launch that an SM of compute capability 9.0 holds at a time. */
    private static long resident(Kernel k, Launch l) {
        long warps = (l.threads + 31) / 32, ofWarp = (k.registers() * 32L + 255) / 256 * 256;
        long byRegisters = PART / ofWarp * 4 / warps, byShared = SM_SHARED / (k.shared() + l.shared + RESERVED);
        return Math.min(Math.min(BLOCKS, WARPS / warps), Math.min(byRegisters, byShared));
    }

    private static void assertNone(Collection<String> wrong, String what) {
        assertTrue(
                wrong.isEmpty(),
                () -> wrong.size() + " " + what + ", among them\n"
                        + String.join("\n", wrong.stream().limit(20).toList()));
    }

    @Test
    void everyKernelIsLaunched() {
        Set<String> seen = new TreeSet<>(), never = new TreeSet<>();
        launches.forEach(l -> seen.add(key("", l.file, l.kernel)));
        for (Kernel k : PtxasReport.read())
            if (!seen.contains(key("", k.file(), k.name()))) never.add(k.name() + " of " + k.file());
        assertNone(never, "kernels that no case and no step launches");
    }

    private static String key(String arch, String file, String kernel) {
        return arch + " " + file + " " + kernel;
    }
}
