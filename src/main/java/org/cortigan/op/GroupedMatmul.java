// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Products y_g [M, N] = scale_g * op(a_g) op(b_g) + bias_g of many groups in one node, each with its own extents. A
 * flat operand is one rank-1 value that holds the groups' matrices one after another. Inputs: a, b, the biases (f32[N]
 * each), the scales (f32[1] each); an operand with {@link Where#EACH} has one input per group. Output: one flat value,
 * or one output per group. {@link Matmul} describes the transposes and the contract of the scales.
 *
 * @param y FLAT or EACH
 * @param out element type of y
 */
public record GroupedMatmul(
        List<Extent> groups, Operand a, Operand b, boolean hasBias, boolean hasScale, Where y, DType out)
        implements Op.Product {
    /** Extents of one group's product: op(a) is [m, k], op(b) is [k, n]. */
    public record Extent(int m, int n, int k) {}

    /** Location of matrices: one flat value, one matrix that all groups share, or one matrix for each group. */
    public enum Where {
        FLAT,
        SHARED,
        EACH
    }

    /**
     * Storage of a or b.
     *
     * @param transposed whether each matrix is stored transposed
     */
    public record Operand(Where where, boolean transposed) {
        private static Operand plain(Where where) {
            return new Operand(where, false);
        }

        private static Operand transposed(Where where) {
            return new Operand(where, true);
        }

        private int inputs(int groups) {
            return where == Where.EACH ? groups : 1;
        }
    }

    /** A product with the groups' weights [N, K], as a linear layer takes them. */
    static GroupedMatmul linear(List<Extent> groups, Where x, boolean hasBias, boolean hasScale, DType out) {
        return new GroupedMatmul(
                groups, Operand.plain(x), Operand.transposed(Where.EACH), hasBias, hasScale, Where.FLAT, out);
    }

    @Override
    public String name() {
        return "grouped_matmul";
    }

    private int firstBias() {
        return a.inputs(groups.size()) + b.inputs(groups.size());
    }

    private int firstScale() {
        return firstBias() + (hasBias ? groups.size() : 0);
    }

    /**
     * Checks the shapes of an operand.
     *
     * @param first index of its first input
     * @param matrix [rows, columns] of a group's matrix before it is transposed for storage
     */
    private void check(List<Value> in, int first, Operand operand, Function<Extent, Shape> matrix) {
        long all = 0;
        for (int i = 0; i < groups.size(); i++) {
            Shape m = matrix.apply(groups.get(i));
            Shape stored = operand.transposed ? Shape.of(m.dim(1), m.dim(0)) : m;
            all += stored.elements();
            Value v = in.get(first + (operand.where == Where.EACH ? i : 0));
            if (operand.where != Where.FLAT)
                Op.require(
                        v.shape().equals(stored),
                        this,
                        in,
                        "operand of group " + i + " is " + v.type() + " but must be " + stored);
        }
        if (operand.where == Where.FLAT)
            Op.require(
                    in.get(first).shape().rank() == 1 && in.get(first).shape().elements() == all,
                    this,
                    in,
                    "the flat operand is " + in.get(first).type() + " but must be [" + all + "]");
    }

    @Override
    public List<Type> infer(List<Value> in) {
        int n = groups.size();
        Op.require(n > 0 && in.size() == firstScale() + (hasScale ? n : 0), this, in, "wrong number of inputs");
        Op.require(y != Where.SHARED, this, in, "the output must be FLAT or EACH");
        check(in, 0, a, e -> Shape.of(e.m, e.k));
        check(in, a.inputs(n), b, e -> Shape.of(e.k, e.n));
        for (Value v : in.subList(0, firstBias()))
            Op.require(v.dtype() == in.get(0).dtype() && v.dtype().isFloat(), this, in, "operands must have one type");
        for (int i = 0; i < n; i++) {
            if (hasBias)
                Op.require(
                        in.get(firstBias() + i).type().equals(Type.of(DType.F32, groups.get(i).n)),
                        this,
                        in,
                        "bias must be f32[N]");
            if (hasScale)
                Op.require(
                        in.get(firstScale() + i).type().equals(Type.of(DType.F32, 1)),
                        this,
                        in,
                        "scale must be f32[1]");
        }
        if (y == Where.EACH)
            return groups.stream().map(e -> Type.of(out, e.m, e.n)).toList();
        return List.of(Type.of(
                out,
                Math.toIntExact(groups.stream().mapToLong(e -> (long) e.m * e.n).sum())));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (a.transposed || a.where == Where.EACH || !b.equals(Operand.transposed(Where.EACH)) || y == Where.EACH)
            throw new UnsupportedOperationException(
                    name() + " has a gradient only for a b^T with a FLAT or SHARED, b EACH and a flat output");
        int count = groups.size();
        Value x = n.input(0), dY = dOut.get(0);
        List<@Nullable Value> d =
                new ArrayList<>(Arrays.asList(new Value[n.inputs().size()]));
        if (wanted[0]) {
            List<Value> in = new ArrayList<>(List.of(dY));
            in.addAll(n.inputs().subList(1, 1 + count));
            if (hasScale) in.addAll(n.inputs().subList(firstScale(), firstScale() + count));
            List<Extent> e = groups.stream().map(g -> new Extent(g.m, g.k, g.n)).toList();
            // The gradients of a shared x are summed over the groups in f32.
            DType t = a.where == Where.SHARED ? DType.F32 : x.dtype();
            GroupedMatmul product = new GroupedMatmul(
                    e, Operand.plain(Where.FLAT), Operand.plain(Where.EACH), false, hasScale, Where.FLAT, t);
            Value dx = n.graph().apply(product, in).output(0);
            if (a.where == Where.SHARED)
                dx = Ops.cast(Ops.sumLeading(Ops.reshape(dx, count, x.dim(0), x.dim(1)), x.shape()), x.dtype());
            d.set(0, dx);
        }
        boolean weights = false, biases = false;
        for (int i = 0; i < count; i++) {
            weights |= wanted[1 + i];
            biases |= hasBias && wanted[firstBias() + i];
        }
        if (weights) {
            List<Extent> e = groups.stream().map(g -> new Extent(g.n, g.k, g.m)).toList();
            GroupedMatmul product =
                    new GroupedMatmul(e, Operand.transposed(Where.FLAT), a, false, false, Where.EACH, DType.F32);
            Node w = n.graph().apply(product, dY, x);
            for (int i = 0; i < count; i++) d.set(1 + i, w.output(i));
        }
        if (biases) {
            Node s = n.graph()
                    .apply(
                            new SumLeading.Grouped(
                                    groups.stream().map(Extent::m).toList(),
                                    groups.stream().map(Extent::n).toList()),
                            dY);
            for (int i = 0; i < count; i++) d.set(firstBias() + i, s.output(i));
        }
        return d;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(
                n, groups.stream().mapToDouble(e -> 2.0 * e.m * e.n * e.k).sum());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        DType t = n.input(0).dtype();
        long[] at = new long[3];
        w.state("state").scratch("scratch");
        w.rows("rows", "n", groups.size(), g -> {
            Extent e = groups.get(g);
            w.none("state").none("scratch").none("bias16");
            w.in("a", a.where == Where.EACH ? g : 0, a.where == Where.FLAT ? at[0] : 0);
            w.in("b", a.inputs(groups.size()) + (b.where == Where.EACH ? g : 0), b.where == Where.FLAT ? at[1] : 0);
            w.inOrNone("bias", hasBias ? firstBias() + g : -1).inOrNone("scale", hasScale ? firstScale() + g : -1);
            w.out("y", y == Where.EACH ? g : 0, y == Where.EACH ? 0 : at[2]);
            w.i64("M", e.m)
                    .i64("N", e.n)
                    .i64("K", e.k)
                    .flag("trans_a", a.transposed)
                    .flag("trans_b", b.transposed);
            w.type("type_a", t).type("type_b", t).type("type_y", out);
            at[0] += (long) e.m * e.k;
            at[1] += (long) e.k * e.n;
            at[2] += (long) e.m * e.n;
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        int[] k = {7, 1, 17, 3}, n = {3, 5, 1, 2};
        for (int rows : new int[] {1, 3}) {
            c.add(of(rows, k, n, true, false, false));
            c.add(of(rows, k, n, true, false, true));
            c.add(of(rows, k, n, true, true, false).noGradient());
        }
        c.add(of(2, k, n, false, true, true).noGradient());
        c.add(of(2, new int[] {5}, new int[] {3}, true, false, false));
        c.add(of(19, new int[] {20, 1009, 67, 131, 1, 300, 2}, new int[] {33, 70, 1, 17, 8, 65, 3}, true, true, false)
                .noGradient());
        // Rows of 16 bytes on CUDA, tiles of 64 and 128 columns, and a sum long enough to be split.
        c.add(of(40, new int[] {24, 200, 8}, new int[] {16, 72, 136}, true, true, false)
                .noGradient());
        c.add(of(130, new int[] {2056}, new int[] {64}, true, false, false).noGradient());
        c.add(of(5, new int[] {2051, 3}, new int[] {9, 70}, true, true, false).noGradient());
        c.add(of(40, new int[] {24, 64}, new int[] {16, 56}, true, false, false).noGradient());
        for (int shared : new int[] {24, 136})
            c.add(of(16, new int[] {shared, shared}, new int[] {16, 8}, true, true, true)
                    .noGradient());
        int[] regions = GatherGroups.REGIONS;
        c.add(of(64, regions, IntStream.range(0, regions.length).map(i -> 256).toArray(), true, true, false)
                .benchmark());
        c.add(discriminator("mlp 64 of 25 regions", true).benchmark());
        c.add(discriminator("mlp 64 of one region", false).benchmark());
        return c;
    }

    private static OpCase of(int rows, int[] k, int[] n, boolean bias, boolean scale, boolean shared) {
        String name = "grouped_matmul " + rows + " of " + k.length
                + (k.length < 8 ? " " + Arrays.toString(k) + Arrays.toString(n) : "") + (shared ? " shared" : "")
                + (bias ? " bias" : "") + (scale ? " scale" : "");
        return OpCase.of(name, Arrays.stream(k).max().getAsInt() + 2L, g -> {
                    List<Value> w = new ArrayList<>(),
                            b = bias ? new ArrayList<>() : null,
                            s = scale ? new ArrayList<>() : null;
                    for (int i = 0; i < k.length; i++) {
                        w.add(g.normal(n[i], shared ? k[0] : k[i]));
                        if (b != null) b.add(g.normal(DType.F32, n[i]));
                        if (s != null) s.add(g.scalar(0.37 + 0.1 * i));
                    }
                    if (shared) return List.of(Ops.groupedLinear(g.normal(rows, k[0]), w, b, s));
                    return List.of(
                            Ops.groupedLinear(g.normal(rows * Arrays.stream(k).sum()), rows, w, b, s));
                })
                .roundings(2);
    }

    /** MLPs with 256 and 128 hidden units on 25 regions, or one MLP on as many vertices with as many parameters. */
    private static OpCase discriminator(String name, boolean regions) {
        return OpCase.of("discriminator " + name, 1, g -> {
            int[] sizes = regions
                    ? GatherGroups.REGIONS
                    : new int[] {Arrays.stream(GatherGroups.REGIONS).sum()};
            // 19 more units in the one first layer have as many parameters as the 25 second layers
            int first = regions ? 256 : 275;
            Value x = regions
                    ? Ops.gatherGroups(g.normal(64, 39548), GatherGroups.groups(39548, sizes))
                    : Ops.reshape(g.normal(64, sizes[0]), 64 * sizes[0]);
            for (int[] l : new int[][] {{0, first}, {first, 128}, {128, 1}}) {
                int inputs = l[0], units = l[1];
                List<Value> w = new ArrayList<>(), b = new ArrayList<>();
                for (int s : sizes) {
                    w.add(g.normal(units, inputs == 0 ? s : inputs));
                    b.add(g.normal(DType.F32, units));
                }
                x = Ops.groupedLinear(x, 64, w, b, null);
                if (units > 1) x = Ops.activation(x, Activation.Kind.LEAKY_RELU, 0.2);
            }
            return List.of(x);
        });
    }
}
