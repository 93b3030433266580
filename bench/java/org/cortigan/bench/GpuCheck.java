package org.cortigan.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.function.Function;
import org.cortigan.InputException;
import org.cortigan.data.Json;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.OpCheck;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.op.Adam;
import org.cortigan.op.Binary;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonLoss;
import org.cortigan.op.SpectralNorm;
import org.cortigan.prof.Ceilings;
import org.cortigan.train.Recipe;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainingData;
import org.cortigan.train.Trajectory;

/**
 * The stages of tools/gpu-check that run in Java. Every measurement is a line of JSON appended to OUT/measured.jsonl:
 * stage, name, who (ours, eager, compile), ms; tools/peer_*.py append theirs.
 */
public final class GpuCheck {
    private final Path out;
    private final Device device;
    private final boolean small;

    private GpuCheck(Path out, String device, boolean small) {
        this.out = out;
        this.device = Devices.open(device, 0);
        this.small = small;
    }

    /** STAGE (ops, train, kernels, steps) OUT DEVICE SIZE (full, small) [names' parts, with commas | golden file | discriminator]. */
    public static void main(String[] a) throws Exception {
        try {
            stage(a);
        } catch (InputException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }

    private static void stage(String[] a) throws Exception {
        if (a[0].equals("report")) {
            GpuReport.write(Path.of(a[1]));
            return;
        }
        GpuCheck c = new GpuCheck(Path.of(a[1]), a[2], a[3].equals("small"));
        switch (a[0]) {
            case "ops" -> c.ops(a.length > 4 ? a[4] : "");
            case "train" -> c.train(Path.of(a[4]));
            case "kernels" -> c.kernels();
            case "steps" -> c.steps(a.length > 4 ? a[4] : "");
            default -> throw new IllegalArgumentException("no stage " + a[0]);
        }
    }

    private void line(Map<String, Object> m) throws IOException {
        String s = Json.compact(m);
        System.out.println(s);
        Files.writeString(
                out.resolve("measured.jsonl"), s + "\n", StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private static Map<String, Object> map(Object... pairs) {
        Map<String, Object> m = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) m.put((String) pairs[i], pairs[i + 1]);
        return m;
    }

    /** The kernels of attention that this device has; the first are the default. */
    private List<String> attentions() {
        return device.backend() == Kernels.CUDA && device.name().endsWith("sm_90)") ? List.of("mma", "wgmma") : List.of("mma");
    }

    /** Does something with each of them. */
    private void eachAttention(Attentions f) throws IOException {
        List<String> all = attentions();
        for (String a : all) {
            if (all.size() > 1) Native.choose(Kernels.CUDA, "attention", a);
            try {
                f.with(a.equals("mma") ? "" : ", " + a);
            } finally {
                if (all.size() > 1) Native.choose(Kernels.CUDA, "attention", "mma");
            }
        }
    }

    private interface Attentions {
        /** @param suffix of the names of what is measured, empty for the default */
        void with(String suffix) throws IOException;
    }

    private void ops(String part) throws IOException {
        boolean[] ok = {true};
        eachAttention(suffix -> ok[0] &= ops(part, suffix));
        if (!ok[0]) System.exit(1);
    }

    /**
     * Cases against the double reference, in place with guard words and out of place, which must give the same bits; for a variant
     * of attention those of attention alone.
     */
    private boolean ops(String part, String suffix) throws IOException {
        CpuDevice ref = CpuDevice.doubleReference();
        List<Object> failures = new ArrayList<>();
        int n = 0;
        for (OpCase c : OpCases.all()) {
            if (c.bench() || Arrays.stream(part.split(",")).noneMatch(c.name()::contains)) continue;
            if (!suffix.isEmpty() && !c.name().startsWith("attention")) continue;
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                if (!device.supports(t)) continue;
                n++;
                String what = c.name() + " " + t;
                try {
                    boolean backward = OpCheck.hasGradient(c);
                    Map<String, float[]> want = OpCheck.run(c, t, ref, Session.Options.DEFAULT, backward, false);
                    Map<String, float[]> got = OpCheck.run(c, t, device, new Session.Options(OpCheck.GUARD, true), backward, true);
                    Map<String, float[]> again = OpCheck.run(c, t, device, new Session.Options(0, false), backward, false);
                    OpCheck.compare(c, t, want, got, device.name());
                    for (String k : got.keySet())
                        if (!Arrays.equals(got.get(k), again.get(k)))
                            throw new AssertionError(what + " " + k + ": in place or twice differs");
                } catch (RuntimeException | Error e) {
                    failures.add(what + ": " + e.getMessage());
                    System.out.println("FAILED " + what + ": " + e.getMessage());
                }
            }
        }
        String name = (part.isEmpty() ? "all cases" : "cases of " + part) + suffix;
        line(map("stage", "ops", "name", name, "device", device.name(), "cases", n, "failures", failures));
        return failures.isEmpty();
    }

    private void train(Path golden) throws IOException {
        boolean ok = true;
        for (DType t : new DType[] {DType.F32, DType.BF16}) {
            if (!device.supports(t)) continue;
            Trajectory.Outcome o = Trajectory.run(device, t, golden);
            double first = o.losses()[0], last = o.losses()[o.losses().length - 1];
            // the bounds of TrajectoryTest, which gives their reasons
            boolean good = t == DType.F32 ? first < 1e-5 && last < 1e-2 && o.parameters() < 20 * 2e-3 : first < 0.1;
            ok &= good;
            line(map("stage", "train", "name", "golden trajectory " + t, "device", device.name(), "first", first, "last", last,
                    "parameters", o.parameters(), "ok", good));
        }
        if (!ok) System.exit(1);
    }

    private static final class Work {
        final Graph g = new Graph();
        int inputs;
        int copies;

        Value in(DType t, int... dims) {
            return g.input("x" + inputs++, t, dims);
        }

        Value variable(DType t, int... dims) {
            return g.variable("v" + inputs++, t, dims);
        }

        void out(Value v) {
            g.output("y" + g.outputs().size(), v);
        }
    }

    /** @param served whose kernels ran */
    private record Timed(double seconds, double flops, double bytes, String served) {}

    /**
     * Seconds of one of the copies of a piece of work; copies lie in one replayed graph, each with data of its own, so that
     * neither launches nor the cache of another copy count. The least of some runs.
     */
    private Timed time(Function<Work, Integer> make, int runs) {
        Work w = new Work();
        int copies = make.apply(w);
        float[] noise = new float[1 << 20];
        SplittableRandom r = new SplittableRandom(1);
        for (int i = 0; i < noise.length; i++) noise[i] = (float) r.nextGaussian();
        try (Variables vars = new Variables(device);
                Session s = new Session(w.g, device, vars)) {
            for (Node n : w.g.nodes()) {
                boolean variable = n.op() instanceof Leaf.Variable;
                Storage x = variable ? vars.find(((Leaf.Variable) n.op()).id()) : n.op() instanceof Leaf.Input in ? s.input(in.id()) : null;
                if (x == null) continue;
                int size = Math.toIntExact(n.output(0).shape().elements());
                float[] f = new float[size];
                // second moments and scalars must not be negative
                for (int i = 0; i < size; i++) {
                    float z = noise[i & (noise.length - 1)];
                    f[i] = variable || size < 4 ? Math.abs(z) : z;
                }
                x.write(f);
            }
            for (int i = 0; i < 3; i++) s.run();
            s.synchronize();
            double least = Double.MAX_VALUE, flops = 0, bytes = 0;
            for (int i = 0; i < runs; i++) {
                long t = System.nanoTime();
                s.run();
                s.synchronize();
                least = Math.min(least, (System.nanoTime() - t) / 1e9);
            }
            Set<String> served = new TreeSet<>();
            for (Node n : s.launched()) {
                Cost c = Op.of(n).cost(n);
                flops += c.flops();
                bytes += c.bytes();
                served.add(s.served(n).by());
            }
            return new Timed(least / copies, flops / copies, bytes / copies, String.join(", ", served));
        }
    }

    private Ceilings ceilings(boolean write) throws IOException {
        int n = small ? 512 : 8192, m = small ? 1 << 20 : 1 << 27, runs = small ? 3 : 20;
        DType half = device.supports(DType.BF16) ? DType.BF16 : DType.F32;
        double[] flops = new double[2];
        for (DType t : new DType[] {DType.F32, half})
            flops[t == DType.F32 ? 0 : 1] = 2.0 * n * n * n / time(w -> {
                for (int i = 0; i < 4; i++) w.out(Ops.matmul(w.in(t, n, n), w.in(t, n, n), false, true, null, null, t));
                return 4;
            }, runs).seconds;
        double copy = 12.0 * m / time(w -> {
            w.out(w.g.apply(new Binary(Binary.Kind.ADD, 1, 1), w.in(DType.F32, m), w.in(DType.F32, m)).output(0));
            return 1;
        }, runs).seconds;
        if (write)
            line(map("stage", "ceilings", "name", "ceilings", "device", device.name(), "flops_f32", flops[0], "flops_bf16", flops[1],
                    "bytes_per_second", copy));
        return new Ceilings(device.name(), flops[0], flops[1], copy);
    }

    private void measured(String stage, String name, Timed t, Ceilings c, DType type) throws IOException {
        double floor = Math.max(t.flops / c.flops(type), t.bytes / c.bandwidth());
        line(map("stage", stage, "name", name, "who", "ours", "device", device.name(), "ms", t.seconds * 1e3, "floor_ms", floor * 1e3,
                "gflop", t.flops / 1e9, "mb", t.bytes / 1e6, "served", t.served));
    }

    /** The kernels of the H200 table, under the names of tools/peer_kernels.py --device. */
    private void kernels() throws IOException {
        Ceilings c = ceilings(true);
        DType t = device.supports(DType.BF16) ? DType.BF16 : DType.F32;
        int b = small ? 2 : 128, tokens = small ? 33 : 197, heads = small ? 2 : 12, width = heads * 64, vertices = small ? 1000 : 39552;
        int copies = small ? 2 : 4, runs = small ? 3 : 10, side = small ? 14 : 56, channels = small ? 8 : 64;
        for (boolean back : new boolean[] {false, true}) {
            String pass = back ? "forward+backward" : "forward";
            eachAttention(suffix -> measured("kernels", "attention " + pass + suffix, time(w -> {
                for (int i = 0; i < copies; i++) {
                    Value x = w.in(t, b, tokens, 3 * width);
                    both(w, Ops.attention(x, heads), List.of(x), back);
                }
                return copies;
            }, runs), c, t));
            measured("kernels", "layernorm " + pass, time(w -> {
                for (int i = 0; i < copies; i++) {
                    Value x = w.in(t, b * tokens, width), ga = w.in(DType.F32, width), be = w.in(DType.F32, width);
                    both(w, Ops.layerNorm(x, ga, be, 1e-6).output(0), List.of(x, ga, be), back);
                }
                return copies;
            }, runs), c, t);
            measured("kernels", "conv2d " + pass, time(w -> {
                for (int i = 0; i < copies; i++) {
                    Value x = w.in(t, b, side, side, channels), k = w.in(t, channels, channels, 3, 3), be = w.in(DType.F32, channels);
                    both(w, Ops.conv2d(x, k, be, null, 1, 1, 1, 1), List.of(x, k, be), back);
                }
                return copies;
            }, runs), c, t);
        }
        for (PearsonLoss.Axis axis : PearsonLoss.Axis.values())
            measured("kernels", "pearson over " + axis.name().toLowerCase(Locale.ROOT) + " forward+backward", time(w -> {
                for (int i = 0; i < copies; i++) {
                    Value p = w.in(t, b, vertices);
                    Value target = w.in(DType.F32, b, vertices), weights = w.in(DType.F32, 2);
                    Node n = w.g.apply(new PearsonLoss(PearsonLoss.Pixel.L1, axis, 0.01), p, target, weights);
                    both(w, n.output(0), List.of(p), true);
                }
                return copies;
            }, runs), c, DType.F32);
        measured("kernels", "spectral norm", time(w -> {
            List<Value> in = new ArrayList<>();
            for (int[] s : normed(vertices)) {
                Value x = w.in(DType.F32, s[0], s[1]);
                in.addAll(List.of(x, w.variable(DType.F32, s[0]), w.variable(DType.F32, s[1]), w.variable(DType.F32, 1), x));
            }
            Node n = w.g.apply(new SpectralNorm(SpectralNorm.Mode.ADVANCE), in);
            for (int k = 0; k < in.size() / 5; k++) w.out(n.output(4 * k + 3));
            return 1;
        }, runs), c, DType.F32);
        int total = small ? 100_000 : 116_000_000, tensors = small ? 4 : 150;
        measured("kernels", "adamw", time(w -> {
            List<Value> in = new ArrayList<>(List.of(w.in(DType.F32, 1), w.in(DType.F32, 1), w.in(DType.F32, 1)));
            List<Adam.Slot> slots = new ArrayList<>();
            for (int k = 0; k < tensors; k++) {
                int n = total / tensors / 8 * 8;
                slots.add(new Adam.Slot(0.05, true, false));
                for (int i = 0; i < 4; i++) in.add(i == 1 ? w.in(DType.F32, n) : w.variable(DType.F32, n));
                in.add(w.variable(DType.BF16, n));
            }
            Adam op = new Adam(0.9, 0.999, 1e-8, 1, 0, true, slots);
            Node n = w.g.apply(op, in);
            for (int k = 0; k < tensors; k++) w.out(n.output(op.output(k)));
            return 1;
        }, runs), c, DType.F32);
    }

    /** Weights of an MLP of two hemispheres and of the ViT-S that judges responses. */
    private static List<int[]> normed(int vertices) {
        List<int[]> s = new ArrayList<>();
        for (int i = 0; i < 2; i++) s.addAll(List.of(new int[] {512, vertices / 2}, new int[] {256, 512}));
        int[][] block = {{1152, 384}, {384, 384}, {1536, 384}, {384, 1536}};
        for (int i = 0; i < 12; i++) s.addAll(List.of(block));
        return s;
    }

    private static void both(Work w, Value y, List<Value> wrt, boolean back) {
        w.out(y);
        if (!back) return;
        Value one = w.g.constant(1, y.dtype(), y.shape().dims());
        for (Value d : Gradients.of(List.of(y), List.of(one), wrt)) w.out(d);
    }

    /** Whole steps, under the names of tools/peer_step.py --gan. */
    private void steps(String only) throws IOException {
        Ceilings c = ceilings(false);
        for (String gan : only.isEmpty() ? List.of("none", "conv", "vit") : List.of(only)) {
            Recipe r = Recipe.load("vit-corr-2d");
            for (String o : options(gan)) r = r.with(o);
            int batch = r.section("train").integer("batch", 1), side = r.section("model").section("generator").integer("image", 1);
            int left = small ? 300 : 19008, right = small ? 340 : 20544;
            try (Trainer t = new Trainer(r, new Noise(2 * batch, left, right, side * side * 3), device, null)) {
                t.fillInputs();
                Session s = t.session();
                for (int i = 0; i < 3; i++) s.run();
                s.synchronize();
                int n = small ? 2 : 10;
                double[] ms = new double[n];
                for (int i = 0; i < n; i++) {
                    long at = System.nanoTime();
                    s.run();
                    s.synchronize();
                    ms[i] = (System.nanoTime() - at) / 1e6;
                }
                Arrays.sort(ms);
                double flops = 0, bytes = 0, floor = 0;
                for (Node node : s.launched()) {
                    Cost k = Op.of(node).cost(node);
                    DType type = DType.F32;
                    for (Value v : node.inputs()) if (v.dtype() == DType.BF16) type = DType.BF16;
                    flops += k.flops();
                    bytes += k.bytes();
                    floor += Math.max(k.flops() / c.flops(type), k.bytes() / c.bandwidth());
                }
                line(map("stage", "steps", "name", "step " + gan, "who", "ours", "device", device.name(), "ms", ms[n / 2],
                        "floor_ms", floor * 1e3, "gflop", flops / 1e9, "mb", bytes / 1e6, "batch", batch));
            } catch (RuntimeException e) {
                line(map("stage", "steps", "name", "step " + gan, "who", "ours", "device", device.name(), "failure", "" + e.getMessage()));
            }
        }
    }

    private List<String> options(String gan) {
        List<String> o = new ArrayList<>(List.of(
                "train.precision=" + (device.supports(DType.BF16) ? "bf16" : "fp32"), "train.validation=0", "model.discriminator.per=all",
                "train.batch=" + (small ? 2 : 128), "model.discriminator.type=" + (gan.equals("none") ? "none" : gan)));
        if (gan.equals("none")) o.add("loss.gan_weight=0");
        if (small)
            o.addAll(List.of("model.generator.size=custom", "model.generator.image=32", "model.generator.width=64",
                    "model.generator.depth=2", "model.generator.heads=1"));
        if (gan.equals("conv")) o.add("model.discriminator.channels=" + (small ? "[8, 16]" : "[64, 128, 256]"));
        if (gan.equals("vit"))
            o.addAll(List.of("model.discriminator.patch=192", "model.discriminator.width=" + (small ? 64 : 384),
                    "model.discriminator.depth=" + (small ? 2 : 12), "model.discriminator.heads=" + (small ? 1 : 6)));
        return o;
    }

    private record Noise(int count, int leftVertices, int rightVertices, int imageBytes) implements TrainingData {
        @Override
        public void image(int i, java.nio.ByteBuffer into) {
            byte[] b = new byte[imageBytes];
            new SplittableRandom(i).nextBytes(b);
            into.put(b);
        }

        @Override
        public void responses(int i, java.nio.ByteBuffer into) {
            SplittableRandom r = new SplittableRandom(~i);
            for (int k = 0; k < leftVertices + rightVertices; k++) into.putFloat((float) r.nextGaussian());
        }
    }
}
