// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Inverted dropout (Srivastava et al. 2014): sets elements of x to 0 at random and divides the others by 1 - rate.
 * Inputs: x, and the key of the step, i32 [2]. Which elements are dropped is a pure function of key, site and position,
 * the same on every device, so the gradient is the same op on dY and no mask is stored. Formula:
 * kernels/dropout/dropout.h.
 *
 * @param rate probability that an element is dropped, 0 to below 1
 * @param site number of this dropout in the graph; other sites draw other random numbers
 * @param first position of x in the tensor of all ranks, in elements; 0 if there is one rank
 */
public record Dropout(double rate, long site, long first) implements Op {
    /** Name of the graph's input for the key of the step, i32 [2]: 64 random bits, the lower half first. */
    public static final String KEY = "dropout.key";

    private static final int KEY_WORDS = 2;

    /** Largest number of elements: the hash counts them in 32 bits. */
    private static final long MOST = 1L << 32;

    public Dropout {
        if (!(rate >= 0 && rate < 1)) throw new IllegalArgumentException("rate " + rate + " must be from 0 to below 1");
    }

    /** The site of a name: its hash FNV-1a in 64 bits. */
    static long site(String name) {
        long h = 0xcbf29ce484222325L;
        for (int i = 0; i < name.length(); i++) h = (h ^ name.charAt(i)) * 0x100000001b3L;
        return h;
    }

    /** The graph's input for the key of the step, if a dropout has asked for it. */
    public static Optional<Value> keyOf(Graph g) {
        return g.nodes().stream()
                .filter(n -> n.op() instanceof Leaf.Input in && in.id().equals(KEY))
                .map(n -> n.output(0))
                .findFirst();
    }

    /** The graph's input for the key of the step, which all dropouts share. */
    static Value inputOf(Graph g) {
        return keyOf(g).orElseGet(() -> g.input(KEY, DType.I32, KEY_WORDS));
    }

    @Override
    public String name() {
        return "dropout";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(
                in.size() == 2
                        && in.get(0).dtype().isFloat()
                        && in.get(1).type().equals(Type.of(DType.I32, KEY_WORDS)),
                this,
                in,
                "takes a floating-point tensor and a key i32[2]");
        Op.require(first + in.get(0).shape().elements() <= MOST, this, in, "takes at most 2^32 elements of all ranks");
        return List.of(in.get(0).type());
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return Arrays.asList(n.graph().apply(this, dOut.get(0), n.input(1)).output(0), null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 14.0 * n.input(0).shape().elements());
    }

    @Override
    public int inPlace(Node n, int output) {
        return 0;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("key", 1).out("y", 0);
        w.i64("n", n.input(0).shape().elements())
                .i64("first", first)
                .i64("site", site)
                .i64("threshold", threshold())
                .f64("scale", 1 / (1 - rate));
    }

    /** The rate as a fraction of 2^32, where 1 itself does not fit. */
    private long threshold() {
        return Math.min(Math.round(rate * 0x1p32), (1L << 32) - 1);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int n : new int[] {1, 17, 1003, 39548})
            for (double rate : n == 1003 ? new double[] {0, 0.1, 0.5, 0.999} : new double[] {0.3})
                // Two roundings: of the scale, and of the product.
                c.add(OpCase.of("dropout " + rate + " of " + n, 2, g -> of(g, rate, n, 0)));
        c.add(OpCase.of("dropout of 101 after 39548", 2, g -> of(g, 0.5, 101, 39548)));
        c.add(OpCase.of("dropout 0.5 of 128x4800", 2, g -> of(g, 0.5, 128 * 4800, 0))
                .benchmark());
        return c;
    }

    private static List<Value> of(CaseInputs g, double rate, int n, long first) {
        Value key = g.index(Integer.MAX_VALUE, KEY_WORDS);
        return List.of(g.graph()
                .apply(new Dropout(rate, site("case"), first), g.normal(n), key)
                .output(0));
    }
}
