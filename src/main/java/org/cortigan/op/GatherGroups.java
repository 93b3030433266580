// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Gathers columns of x [R, V] for groups, for example the vertices of brain regions. Output: flat [R * N], the dense
 * matrices [R, n_g] of the groups one after another. Inputs: x and the i32 tables of {@link Ops#gatherGroups}: index
 * [N] (column of each member), first [V + 1] and place [N, 2] (destinations of each column, for the gradient).
 * Formulas: kernels/gather_groups/gather_groups.h.
 *
 * @param sizes number of members n_g of each group
 */
record GatherGroups(List<Integer> sizes) implements Op {
    /** Adds the op and its tables; see {@link Ops#gatherGroups}. */
    static Value of(Value x, List<int[]> groups) {
        if (x.shape().rank() != 2 || groups.isEmpty())
            throw new IllegalArgumentException(
                    "gather_groups on " + x.type() + ": x must be [R, V], with at least one group");
        int rows = x.dim(0), columns = x.dim(1);
        List<Integer> sizes = groups.stream().map(g -> g.length).toList();
        int n = sizes.stream().mapToInt(i -> i).sum();
        Math.multiplyExact(rows, n); // throws if a place exceeds 32 bits
        int[] index = new int[n], first = new int[columns + 1], place = new int[2 * n];
        int at = 0;
        for (int[] g : groups)
            for (int v : g) {
                if (v < 0 || v >= columns)
                    throw new IllegalArgumentException(
                            "gather_groups on " + x.type() + ": column " + v + " does not exist");
                index[at++] = v;
                first[v + 1]++;
            }
        for (int v = 0; v < columns; v++) first[v + 1] += first[v];
        int[] next = first.clone();
        at = 0;
        for (int[] g : groups) {
            for (int i = 0; i < g.length; i++) {
                int j = next[g[i]]++;
                place[2 * j] = rows * at + i;
                place[2 * j + 1] = g.length;
            }
            at += g.length;
        }
        return x.graph()
                .apply(
                        new GatherGroups(sizes),
                        x,
                        x.graph().table(index, n),
                        x.graph().table(first, columns + 1),
                        x.graph().table(place, n, 2))
                .output(0);
    }

    @Override
    public String name() {
        return "gather_groups";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        int n = sizes.stream().mapToInt(i -> i).sum();
        Op.require(x.dtype().isFloat() && x.shape().rank() == 2, this, in, "x must be a floating-point [R, V]");
        for (int s : sizes) Op.require(s > 0, this, in, "a group must not be empty");
        Op.require(
                in.size() == 4
                        && in.get(1).type().equals(Type.of(DType.I32, n))
                        && in.get(2).type().equals(Type.of(DType.I32, x.dim(1) + 1))
                        && in.get(3).type().equals(Type.of(DType.I32, n, 2)),
                this,
                in,
                "the tables must be index i32[N], first i32[V + 1] and place i32[N, 2]");
        return List.of(Type.of(x.dtype(), Math.multiplyExact(x.dim(0), n)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value dX = n.graph()
                .apply(new Grad(n.input(0).dim(0)), dOut.get(0), n.input(2), n.input(3))
                .output(0);
        return Arrays.asList(dX, null, null, null);
    }

    @Override
    public Cost cost(Node n) {
        double moved = Op.bytes(n.output(0));
        return new Cost(0, moved + Op.bytes(n.input(1)), moved);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("index", 1).out("flat", 0);
        w.i64("R", n.input(0).dim(0)).i64("V", n.input(0).dim(1));
        long[] at = {0};
        w.rows("rows", "n", sizes.size(), g -> {
            w.i64("off", at[0]).i64("n", sizes.get(g));
            at[0] += sizes.get(g);
        });
    }

    /** Sizes of the 25 groups in the benchmarks, typical of regions of interest: 40,992 vertices in all. */
    static final int[] REGIONS = {
        20, 31, 67, 101, 180, 290, 440, 640, 800, 950, 1100, 1270, 1400, 1510, 1650, 1800, 1950, 2150, 2300, 2450, 2600,
        2900, 3400, 5000, 5993
    };

    /**
     * Groups of the given sizes, each of consecutive columns modulo {@code columns}; they overlap if the sizes add up
     * to more.
     */
    static List<int[]> groups(int columns, int... sizes) {
        List<int[]> groups = new ArrayList<>();
        int at = 0;
        for (int s : sizes) {
            int from = at;
            groups.add(IntStream.range(0, s)
                    .map(i -> (from + i) % columns)
                    .sorted()
                    .toArray());
            at += s;
        }
        return groups;
    }

    /**
     * Gradient dX [R, V] of {@link GatherGroups}: sums the gradients of a column over the groups that gathered it, in
     * the order of the groups. Inputs: dFlat, first, place.
     */
    record Grad(int rows) implements Op.Gradient {
        @Override
        public String name() {
            return "gather_groups_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return List.of(Type.of(in.get(0).dtype(), rows, in.get(1).dim(0) - 1));
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, n.input(0).shape().elements());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("dFlat", 0).in("first", 1).in("place", 2).out("dX", 0);
            w.i64("R", rows).i64("V", n.output(0).dim(1));
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.add(of("1x1 of one", 1, 1, List.of(new int[] {0})));
        c.add(of("3x7 of overlapping", 3, 7, List.of(new int[] {5}, new int[] {1, 2, 5}, new int[] {6, 5, 1, 0})));
        c.add(of("1x1009", 1, 1009, groups(1009, 1, 2, 17, 501, 997)));
        c.add(of("5x131 twice all", 5, 131, groups(131, 131, 131)));
        c.add(of("19x131 twice all", 19, 131, groups(131, 131, 131)));
        c.add(of("2x39548", 2, 39548, groups(39548, 20, 19004, 20544)));
        c.add(of("64x39548 of 25", 64, 39548, groups(39548, REGIONS)).benchmark());
        return c;
    }

    private static OpCase of(String name, int rows, int columns, List<int[]> groups) {
        return OpCase.of("gather_groups " + name, 4, g -> List.of(Ops.gatherGroups(g.normal(rows, columns), groups)));
    }
}
