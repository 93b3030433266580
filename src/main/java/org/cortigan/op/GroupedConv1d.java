// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Convolutions along the vertices of many groups in one node. A group of x [R, n_g, C] with its own weight [O, C, 1, k]
 * becomes [R, n'_g, O], with zero padding of (k - 1) / 2 at the ends of the group. Inputs: flat x (the groups one after
 * another), the weights, the biases (f32[O] each), the scales (f32[1] each); {@link Matmul} describes the contract of
 * the scales. Output: flat.
 *
 * <p>{@link #kernel()} is a two-dimensional convolution of images of height 1.
 *
 * @param rows R
 * @param sizes n_g, vertices of each group
 */
record GroupedConv1d(int rows, List<Integer> sizes, int stride, boolean hasBias, boolean hasScale)
        implements Op.Product {
    /** Output length n'_g of a group of n vertices; below 1 if a kernel of even width k is too wide. */
    static int length(int n, int k, int stride) {
        return Math.floorDiv(n + 2 * ((k - 1) / 2) - k, stride) + 1;
    }

    @Override
    public String name() {
        return "grouped_conv1d";
    }

    @Override
    public String kernel() {
        return "grouped_conv2d";
    }

    /** Input of a group of n vertices, as images of height 1. */
    static Shape x(int rows, int n, Shape w) {
        return Shape.of(rows, 1, n, w.dim(1));
    }

    /** Output of a group of n vertices, as images of height 1. */
    static Shape y(int rows, int n, Shape w, int stride) {
        return Shape.of(rows, 1, length(n, w.dim(3), stride), w.dim(0));
    }

    /** FLOPs of all groups, and of each of the two gradients. */
    static double flops(int rows, List<Integer> sizes, List<Shape> w, int stride) {
        double f = 0;
        for (int i = 0; i < sizes.size(); i++) f += Conv2d.flops(y(rows, sizes.get(i), w.get(i), stride), w.get(i));
        return f;
    }

    private List<Value> weights(List<Value> in) {
        return in.subList(1, 1 + sizes.size());
    }

    private List<Shape> shapes(List<Value> in) {
        return weights(in).stream().map(Value::shape).toList();
    }

    private int firstScale() {
        return 1 + sizes.size() * (hasBias ? 2 : 1);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        int n = sizes.size();
        Op.require(n > 0 && in.size() == firstScale() + (hasScale ? n : 0), this, in, "wrong number of inputs");
        long read = 0, written = 0;
        DType t = in.get(0).dtype();
        for (int i = 0; i < n; i++) {
            Value w = in.get(1 + i);
            Op.require(
                    w.shape().rank() == 4 && w.dim(2) == 1 && w.dtype() == t && t.isFloat(),
                    this,
                    in,
                    "a weight must be [O, C, 1, k] of x's type");
            Op.require(
                    length(sizes.get(i), w.dim(3), stride) > 0,
                    this,
                    in,
                    "group " + i + " has too few vertices for a kernel of width " + w.dim(3));
            read += x(rows, sizes.get(i), w.shape()).elements();
            written += y(rows, sizes.get(i), w.shape(), stride).elements();
            if (hasBias)
                Op.require(
                        in.get(1 + n + i).type().equals(Type.of(DType.F32, w.dim(0))), this, in, "bias must be f32[O]");
            if (hasScale)
                Op.require(
                        in.get(firstScale() + i).type().equals(Type.of(DType.F32, 1)),
                        this,
                        in,
                        "scale must be f32[1]");
        }
        Op.require(
                in.get(0).shape().equals(Shape.of(Math.toIntExact(read))), this, in, "x must be flat, [" + read + "]");
        return List.of(Type.of(t, Math.toIntExact(written)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        int count = sizes.size();
        Value dY = dOut.get(0);
        List<@Nullable Value> d =
                new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0]) {
            List<Value> in = new ArrayList<>(List.of(dY));
            in.addAll(weights(n.inputs()));
            if (hasScale) in.addAll(n.inputs().subList(firstScale(), firstScale() + count));
            d.set(
                    0,
                    n.graph()
                            .apply(new GradX(rows, sizes, stride, hasScale), in)
                            .output(0));
        }
        boolean weights = false, biases = false;
        for (int i = 0; i < count; i++) {
            weights |= wanted[1 + i];
            biases |= hasBias && wanted[1 + count + i];
        }
        if (weights) {
            Node w = n.graph().apply(new GradW(rows, sizes, stride, shapes(n.inputs())), n.input(0), dY);
            for (int i = 0; i < count; i++) d.set(1 + i, w.output(i));
        }
        if (biases) {
            List<Integer> r = new ArrayList<>(), c = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                Value w = n.input(1 + i);
                r.add(rows * length(sizes.get(i), w.dim(3), stride));
                c.add(w.dim(0));
            }
            Node s = n.graph().apply(new SumLeading.Grouped(r, c), dY);
            for (int i = 0; i < count; i++) d.set(1 + count + i, s.output(i));
        }
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, flops(rows, sizes, shapes(n.inputs()), stride));
    }

    @Override
    public void args(Node n, ArgWriter a) {
        int count = sizes.size();
        long[] at = new long[2];
        a.state("state").scratch("scratch");
        a.rows("rows", "n", count, g -> {
            Shape w = n.input(1 + g).shape();
            a.none("state").none("scratch");
            a.in("x", 0, at[0]).in("w", 1 + g).out("y", 0, at[1]);
            a.inOrNone("bias", hasBias ? 1 + count + g : -1).inOrNone("scale", hasScale ? firstScale() + g : -1);
            shape(a, "", rows, sizes.get(g), w, stride, n.input(0).dtype());
            at[0] += x(rows, sizes.get(g), w).elements();
            at[1] += y(rows, sizes.get(g), w, stride).elements();
        });
    }

    /** Writes the arguments of one group that all three kernels share. */
    static void shape(ArgWriter a, String prefix, int rows, int n, Shape w, int stride, DType t) {
        Conv2d.shape(a, prefix, x(rows, n, w), w, 1, stride, 0, (w.dim(3) - 1) / 2, t);
    }

    /**
     * Gradient of {@link GroupedConv1d} with respect to x. Inputs: flat dY, the weights, and the scales if
     * {@code hasScale}. Output: flat dX.
     */
    record GradX(int rows, List<Integer> sizes, int stride, boolean hasScale) implements Op.Gradient, Op.Product {
        @Override
        public String name() {
            return "grouped_conv1d_grad_x";
        }

        @Override
        public String kernel() {
            return "grouped_conv2d_grad_x";
        }

        private List<Shape> weights(List<Value> in) {
            return in.subList(1, 1 + sizes.size()).stream().map(Value::shape).toList();
        }

        @Override
        public List<Type> infer(List<Value> in) {
            long n = 0;
            for (int i = 0; i < sizes.size(); i++)
                n += x(rows, sizes.get(i), in.get(1 + i).shape()).elements();
            return List.of(Type.of(in.get(0).dtype(), Math.toIntExact(n)));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, flops(rows, sizes, weights(n.inputs()), stride));
        }

        @Override
        public void args(Node n, ArgWriter a) {
            long[] at = new long[2];
            a.state("state").scratch("scratch");
            a.rows("rows", "n", sizes.size(), g -> {
                Shape w = n.input(1 + g).shape();
                a.none("conv.state").none("conv.scratch");
                a.in("conv.dY", 0, at[0]).in("conv.w", 1 + g).out("conv.dX", 0, at[1]);
                a.inOrNone("scale", hasScale ? 1 + sizes.size() + g : -1);
                shape(a, "conv.", rows, sizes.get(g), w, stride, n.input(0).dtype());
                at[0] += y(rows, sizes.get(g), w, stride).elements();
                at[1] += x(rows, sizes.get(g), w).elements();
            });
        }
    }

    /**
     * Gradients of {@link GroupedConv1d} with respect to its (scaled) weights. Inputs: flat x, flat dY. Outputs: dW of
     * each group, of the shapes {@code of}, f32.
     */
    record GradW(int rows, List<Integer> sizes, int stride, List<Shape> of) implements Op.Gradient, Op.Product {
        @Override
        public String name() {
            return "grouped_conv1d_grad_w";
        }

        @Override
        public String kernel() {
            return "grouped_conv2d_grad_w";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return of.stream().map(s -> new Type(DType.F32, s)).toList();
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, flops(rows, sizes, of, stride));
        }

        @Override
        public void args(Node n, ArgWriter a) {
            long[] at = new long[2];
            a.state("state").scratch("scratch");
            a.rows("rows", "n", sizes.size(), g -> {
                a.none("state").none("scratch");
                a.in("x", 0, at[0]).in("dY", 1, at[1]).out("dW", g);
                shape(a, "", rows, sizes.get(g), of.get(g), stride, n.input(0).dtype());
                at[0] += x(rows, sizes.get(g), of.get(g)).elements();
                at[1] += y(rows, sizes.get(g), of.get(g), stride).elements();
            });
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int stride : new int[] {1, 3})
            for (int rows : new int[] {1, 3}) {
                c.add(of(rows, List.of(5, 1, 11), 2, 3, 5, stride, true, false));
                c.add(of(rows, List.of(5, 1, 11), 2, 3, 5, stride, true, true).noGradient());
                c.add(of(rows, List.of(7, 2), 1, 1, 2, stride, false, true).noGradient());
            }
        c.add(of(2, List.of(9), 1, 3, 3, 2, true, false));
        c.add(of(3, List.of(131, 1, 67, 20), 1, 16, 9, 1, true, true).noGradient());
        c.add(of(2, List.of(37, 3, 101), 16, 5, 9, 1, true, true).noGradient());
        // Tiles of the CUDA kernels: channels of 16 bytes, windows that overlap and that leave gaps, phases without a
        // tap, more images than outputs, tiles of 16 to 128 columns, and sums long enough to be split.
        c.add(of(3, List.of(131, 5, 67), 8, 16, 9, 4, true, true).noGradient());
        c.add(of(2, List.of(300), 16, 72, 9, 4, true, true).noGradient());
        c.add(of(5, List.of(41, 2, 9), 24, 40, 3, 5, true, true).noGradient());
        c.add(of(40, List.of(7), 8, 8, 9, 4, true, false).noGradient());
        c.add(of(2, List.of(600), 1, 64, 9, 4, true, true).noGradient());
        c.add(of(2, List.of(90, 17), 32, 1, 9, 1, true, true).noGradient());
        c.add(of(2, List.of(50), 8, 3, 4, 2, true, false).noGradient());
        c.add(of(3, List.of(50), 3, 20, 7, 2, true, true).noGradient());
        c.add(of(3, List.of(80), 16, 40, 3, 1, false, false).noGradient());
        c.add(of(2, List.of(33), 136, 136, 3, 2, false, false).noGradient());
        c.add(of(8, List.of(700, 30), 16, 24, 9, 1, true, false).noGradient());
        List<Integer> regions = Arrays.stream(GatherGroups.REGIONS).boxed().toList();
        c.add(of(64, regions, 1, 16, 9, 1, true, false).benchmark());
        c.add(discriminator("patch 8 of 25 regions", regions).benchmark());
        c.add(discriminator(
                        "patch 8 of one region",
                        List.of(Arrays.stream(GatherGroups.REGIONS).sum()))
                .benchmark());
        return c;
    }

    private static OpCase of(
            int rows, List<Integer> sizes, int in, int out, int k, int stride, boolean bias, boolean scale) {
        String name = "grouped_conv1d " + rows + (sizes.size() < 8 ? sizes : " of " + sizes.size()) + " " + in + " to "
                + out + " k " + k + (stride > 1 ? " stride " + stride : "") + (bias ? " bias" : "")
                + (scale ? " scale" : "");
        return OpCase.of(name, (long) in * k + 2, g -> {
                    List<Value> w = new ArrayList<>(),
                            b = bias ? new ArrayList<>() : null,
                            s = scale ? new ArrayList<>() : null;
                    for (int i = 0; i < sizes.size(); i++) {
                        w.add(g.normal(out, in, 1, k));
                        if (b != null) b.add(g.normal(DType.F32, out));
                        if (s != null) s.add(g.scalar(0.37 + 0.1 * i));
                    }
                    Value x =
                            g.normal(rows * in * sizes.stream().mapToInt(i -> i).sum());
                    return List.of(Ops.groupedConv1d(x, rows, sizes, w, b, s, stride));
                })
                // With a scale, the gradient with respect to x is rounded before and after the multiplication.
                .roundings(scale ? 2 : 1);
    }

    /** Patch discriminators with 16 and 32 channels and kernels of width 9, with one logit per vertex, on 8 rows. */
    private static OpCase discriminator(String name, List<Integer> sizes) {
        return OpCase.of("discriminator " + name, 1, g -> {
            int n = sizes.stream().mapToInt(i -> i).sum();
            Value x = sizes.size() > 1
                    ? Ops.gatherGroups(g.normal(8, 39548), GatherGroups.groups(39548, GatherGroups.REGIONS))
                    : g.normal(8 * n);
            for (int[] l : new int[][] {{1, 16}, {16, 32}, {32, 1}}) {
                int in = l[0], out = l[1];
                List<Value> w = new ArrayList<>(), b = new ArrayList<>();
                for (int i = 0; i < sizes.size(); i++) {
                    w.add(g.normal(out, in, 1, 9));
                    b.add(g.normal(DType.F32, out));
                }
                x = Ops.groupedConv1d(x, 8, sizes, w, b, null, 1);
                if (out > 1) x = Ops.activation(x, Activation.Kind.LEAKY_RELU, 0.2);
            }
            return List.of(x);
        });
    }
}
