// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.Adam;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonLoss;
import org.cortigan.op.SpectralNorm;
import org.cortigan.prof.Ceilings;
import org.cortigan.prof.Noise;

/**
 * Times single kernels under the names of tools/gpu_peer_kernels.py. One replayed graph holds copies of the work, so
 * that launch overhead does not count. The copies rotate over {@link #SETS} sets of data, so that the cache holds none
 * of them. Events on the device's stream measure the time.
 */
final class OwnKernels {
    /** Kernels to profile with ncu. */
    static final List<String> PROFILED = List.of(
            "attention forward+backward",
            "layernorm forward+backward",
            "gelu forward+backward",
            "pearson over images forward+backward",
            "spectral norm",
            "adamw");

    /** Kernels measured again after PyTorch, because clocks may have changed in between. */
    static final List<String> AGAIN = List.of(
            "attention forward",
            "attention forward+backward",
            "layernorm forward",
            "layernorm forward+backward",
            "adamw",
            "linear 25216x768x3072 forward+backward");

    private static final int COPIES = 20, SETS = 4;

    /** Stable Diffusion 1 on 64 x 64, 32 x 32 and 16 x 16 latents, two images of 8 heads; the last attends to text. */
    private static final List<Diffusion> DIFFUSION =
            List.of(new Diffusion(4096, 4096, 40), new Diffusion(1024, 1024, 80), new Diffusion(256, 77, 160));

    private record Diffusion(int queries, int keys, int width) {
        String name() {
            return "attention " + queries + " to " + keys + "x8x" + width;
        }

        void add(Work w, DType t, boolean small, boolean back) {
            int tq = small ? queries / 64 : queries, tk = small ? Math.min(keys, tq) : keys, c = 8 * width;
            if (queries == keys) {
                Value x = w.in(t, 2, tq, 3 * c);
                w.out(Ops.attention(x, 8), List.of(x), back);
            } else {
                Value q = w.in(t, 2, tq, c), kv = w.in(t, 2, tk, 2 * c);
                w.out(Ops.attention(q, kv, 8), List.of(q, kv), back);
            }
        }
    }

    private OwnKernels() {}

    /** A graph of copies and the inputs that they share. */
    private static final class Work {
        final Graph g = new Graph();
        private final Map<String, Value> inputs = new HashMap<>();
        private int set, made;

        Value in(DType t, int... dims) {
            return shared(false, t, dims);
        }

        Value variable(DType t, int... dims) {
            return shared(true, t, dims);
        }

        private Value shared(boolean variable, DType t, int... dims) {
            String name = (variable ? "v" : "x") + set + "." + made++;
            return inputs.computeIfAbsent(name, k -> variable ? g.variable(k, t, dims) : g.input(k, t, dims));
        }

        void out(Value v) {
            g.output("y" + g.outputs().size(), v);
        }

        /** Adds the gradient of y alone, for an upstream gradient of noise. */
        void gradient(Value y, Value wrt) {
            Value up = in(y.dtype(), y.shape().dims());
            out(Gradients.of(List.of(y), List.of(up), List.of(wrt)).get(0));
        }

        /**
         * Adds the result and, with {@code back}, its gradients with respect to {@code wrt} for an upstream gradient of
         * noise. A loss gets only the gradients, for an upstream gradient of 1.
         */
        void out(Value y, List<Value> wrt, boolean back) {
            boolean loss = y.shape().elements() == 1;
            if (!back || !loss) out(y);
            if (!back) return;
            Value up = loss
                    ? g.constant(1, y.dtype(), y.shape().dims())
                    : in(y.dtype(), y.shape().dims());
            for (Value d : Gradients.of(List.of(y), List.of(up), wrt)) out(d);
        }
    }

    private interface Copy {
        void add(Work w);
    }

    static void add(Piece p) {
        boolean small = p.small;
        DType t = p.half();
        int b = small ? 2 : 128,
                tokens = small ? 33 : 197,
                heads = small ? 2 : 12,
                width = heads * 64,
                vertices = small ? 1000 : 39552;
        int side = small ? 14 : 56, channels = small ? 8 : 64;
        for (boolean back : new boolean[] {false, true}) {
            String pass = back ? " forward+backward" : " forward";
            for (String a : p.attentions())
                item(p, "attention" + pass + (a.equals("mma") ? "" : ", " + a), a, t, COPIES, w -> {
                    Value x = w.in(t, b, tokens, 3 * width);
                    w.out(Ops.attention(x, heads), List.of(x), back);
                });
            for (Diffusion d : DIFFUSION)
                for (String a : p.attentions())
                    item(
                            p,
                            d.name() + pass + (a.equals("mma") ? "" : ", " + a),
                            a,
                            t,
                            COPIES,
                            w -> d.add(w, t, small, back));
            item(p, "layernorm" + pass, t, w -> {
                Value x = w.in(t, b * tokens, width), ga = w.in(DType.F32, width), be = w.in(DType.F32, width);
                w.out(Ops.layerNorm(x, ga, be, 1e-6).output(0), List.of(x, ga, be), back);
            });
            item(p, "gelu" + pass, t, w -> {
                Value x = w.in(t, b * tokens, 4 * width);
                w.out(Ops.activation(x, Activation.Kind.GELU, 0), List.of(x), back);
            });
        }
        for (PearsonLoss.Axis axis : PearsonLoss.Axis.values())
            item(p, "pearson over " + axis.name().toLowerCase(Locale.ROOT) + " forward+backward", DType.F32, w -> {
                Value x = w.in(t, b, vertices), target = w.in(DType.F32, b, vertices), weights = w.in(DType.F32, 2);
                w.out(
                        w.g.apply(new PearsonLoss(PearsonLoss.Pixel.L1, axis, 0.01), x, target, weights)
                                .output(0),
                        List.of(x),
                        true);
            });
        item(p, "spectral norm", "mma", DType.F32, SETS, w -> {
            List<Value> in = new ArrayList<>();
            for (int[] s : spectralShapes(vertices)) {
                Value x = w.in(DType.F32, s[0], s[1]);
                in.addAll(List.of(
                        x, w.variable(DType.F32, s[0]), w.variable(DType.F32, s[1]), w.variable(DType.F32, 1), x));
            }
            Node n = w.g.apply(new SpectralNorm(SpectralNorm.Mode.ADVANCE), in);
            for (int k = 0; k < in.size() / 5; k++) w.out(n.output(4 * k + 3));
        });
        int total = small ? 100_000 : 116_000_000, tensors = small ? 4 : 150;
        item(p, "adamw", "mma", DType.F32, SETS, w -> {
            List<Value> in = new ArrayList<>(List.of(w.in(DType.F32, 1), w.in(DType.F32, 1), w.in(DType.F32, 1)));
            List<Adam.Slot> slots = new ArrayList<>();
            for (int k = 0; k < tensors; k++) {
                int n = total / tensors / 8 * 8;
                slots.add(new Adam.Slot(0.05, 1, true, false));
                for (int i = 0; i < 4; i++) in.add(i == 1 ? w.in(DType.F32, n) : w.variable(DType.F32, n));
                in.add(w.variable(DType.BF16, n));
            }
            Adam op = new Adam(0.9, 0.999, 1e-8, 1, 0, true, slots);
            Node n = w.g.apply(op, in);
            for (int k = 0; k < tensors; k++) w.out(n.output(op.output(k)));
        });
        for (boolean back : new boolean[] {false, true}) {
            String pass = back ? " forward+backward" : " forward";
            item(p, "linear 25216x768x3072" + pass, t, w -> linear(w, t, b * tokens, width, 4 * width, back));
            item(p, "head 128x768x39552" + pass, t, w -> linear(w, t, b, width, vertices, back));
            item(p, "conv2d" + pass, t, w -> {
                Value x = w.in(t, b, side, side, channels),
                        k = w.in(t, channels, channels, 3, 3),
                        be = w.in(DType.F32, channels);
                w.out(Ops.conv2d(x, k, be, null, 1, 1, 1, 1), List.of(x, k, be), back);
            });
            int n = vertices;
            for (int[] c : small ? new int[][] {{1, 8}, {8, 16}} : new int[][] {{1, 64}, {64, 128}, {128, 256}}) {
                int length = n;
                item(p, "conv1d " + c[0] + " to " + c[1] + pass, t, w -> {
                    Value x = w.in(t, 2 * b * length * c[0]), k = w.in(t, c[1], c[0], 1, 9), be = w.in(DType.F32, c[1]);
                    Value y = Ops.groupedConv1d(x, 2 * b, List.of(length), List.of(k), List.of(be), null, 4);
                    w.out(y, List.of(x, k, be), back);
                });
                n = (n - 1) / 4 + 1;
            }
        }
        addUnet(p);
    }

    /**
     * A 2-D convolution of unet-corr-2d, its input [side, side, from] without the batch; the padding is 1. Its forward
     * pass has a bias.
     */
    private record Layer(String name, int side, int from, int to, int kernel, int stride) {
        /** Smaller, with the same name, for the dry run. */
        Layer small() {
            return new Layer(name, Math.max(4, side / 8), Math.max(3, from / 32), to / 32, kernel, stride);
        }
    }

    private static final List<Layer> UNET = List.of(
            new Layer("down.0", 128, 3, 64, 4, 2),
            new Layer("down.1", 64, 64, 128, 4, 2),
            new Layer("down.2", 32, 128, 256, 4, 2),
            new Layer("down.3", 16, 256, 512, 4, 2),
            new Layer("down.4", 8, 512, 512, 4, 2),
            new Layer("up.3", 8, 1024, 512, 3, 1),
            new Layer("up.2", 16, 768, 256, 3, 1),
            new Layer("up.1", 32, 384, 128, 3, 1));

    /** The convolutions of the U-Net, node by node: each forward pass and each gradient alone. */
    private static void addUnet(Piece p) {
        int b = p.small ? 2 : 16;
        DType t = p.half();
        for (Layer full : UNET) {
            Layer l = p.small ? full.small() : full;
            for (String pass : List.of("forward", "dX", "dW")) {
                if (l.name.equals("down.0") && pass.equals("dX")) continue; // the image has no gradient
                item(p, "unet " + l.name + " " + pass, t, w -> {
                    boolean forward = pass.equals("forward");
                    Value x = w.in(t, b, l.side, l.side, l.from), k = w.in(t, l.to, l.from, l.kernel, l.kernel);
                    Value be = forward ? w.in(DType.F32, l.to) : null;
                    Value y = Ops.conv2d(x, k, be, null, l.stride, l.stride, 1, 1);
                    if (forward) w.out(y);
                    else w.gradient(y, pass.equals("dX") ? x : k);
                });
            }
        }
    }

    private static void linear(Work w, DType t, int rows, int in, int out, boolean back) {
        Value x = w.in(t, rows, in), k = w.in(t, out, in), be = w.in(DType.F32, out);
        w.out(Ops.matmul(x, k, false, true, be, null, t), List.of(x, k, be), back);
    }

    /**
     * Shapes of the spectrally normalised weights: an MLP discriminator for each hemisphere and a ViT-S discriminator.
     */
    private static List<int[]> spectralShapes(int vertices) {
        List<int[]> s = new ArrayList<>();
        for (int i = 0; i < 2; i++) s.addAll(List.of(new int[] {512, vertices / 2}, new int[] {256, 512}));
        int[][] block = {{1152, 384}, {384, 384}, {1536, 384}, {384, 1536}};
        for (int i = 0; i < 12; i++) s.addAll(List.of(block));
        return s;
    }

    private static void item(Piece p, String name, DType ceiling, Copy copy) {
        item(p, name, "mma", ceiling, COPIES, copy);
    }

    private static void item(Piece p, String name, String attention, DType ceiling, int copies, Copy copy) {
        if (!p.asked().isEmpty() && !p.asked().contains(name)) return;
        int n = p.has("--once") ? 1 : p.small ? Math.min(4, copies) : copies;
        p.item(
                name,
                map("stage", "kernels", "who", "ours"),
                () -> p.preferring(attention, () -> measure(p, name, ceiling, n, copy)));
    }

    private static void measure(Piece p, String name, DType ceiling, int copies, Copy copy) throws IOException {
        Work w = new Work();
        for (int i = 0; i < copies; i++) {
            w.set = i % SETS;
            w.made = 0;
            copy.add(w);
        }
        try (Variables vars = new Variables(p.device);
                Session s = new Session(w.g, p.device, vars)) {
            for (Node n : w.g.nodes()) {
                boolean variable = n.op() instanceof Leaf.Variable;
                Storage x = variable
                        ? vars.find(((Leaf.Variable) n.op()).id())
                        : n.op() instanceof Leaf.Input in ? s.input(in.id()) : null;
                // second moments and scalars must not be negative
                if (x != null) Noise.fill(x, variable || x.type().shape().elements() < 4);
            }
            if (p.has("--once")) {
                s.run();
                s.synchronize();
                return;
            }
            for (int i = 0; i < 3; i++) s.run();
            s.synchronize();
            double[] ms = new double[p.small ? 3 : 11];
            for (int i = 0; i < ms.length; i++) ms[i] = run(p, s) / copies;
            Arrays.sort(ms);
            double flops = 0, bytes = 0;
            for (Node n : s.launched()) {
                Cost c = Op.of(n).cost(n);
                flops += c.flops() / copies;
                bytes += c.bytes() / copies;
            }
            Ceilings c = p.ceilings();
            Map<String, Object> line = p.measured("kernels", name, ms);
            line.putAll(map(
                    "copies",
                    copies,
                    "floor_ms",
                    1e3 * Math.max(flops / c.flops(ceiling), bytes / c.bandwidth()),
                    "gflop",
                    flops / 1e9,
                    "mb",
                    bytes / 1e6,
                    "served",
                    p.served(s)));
            Piece.line(line);
        }
    }

    /** Milliseconds of one run, measured by the device's events. */
    private static double run(Piece p, Session s) {
        try (DeviceRuntime.Events e = p.device.runtime().events(2)) {
            e.record(0);
            s.run();
            e.record(1);
            s.synchronize();
            return e.nanos(0, 1) / 1e6;
        }
    }
}
