// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.graph.DType;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Begins to replace a tensor by its sum or mean over the ranks of a data-parallel run, in place. Input: f32 or f64.
 * Output: the tensor while it travels, for {@link End} alone, whose output is the sum. What lies between the two in the
 * order of a plan runs meanwhile. A device must belong to a rank to run it.
 *
 * @param mean whether the mean is wanted, not the sum
 */
public record AllReduce(boolean mean) implements Op.Update {
    /** Names of the kernels. */
    public static final String BEGIN = "all_reduce", END = "all_reduce_end";

    /** Element types as kernels number them (native/include/cg/abi.h, Variant). */
    private enum Stored {
        F64,
        F32,
        BF16
    }

    /** Whether a value of the kernel's argument {@code type} means f64. */
    public static boolean isF64(long type) {
        return type == Stored.F64.ordinal();
    }

    /** Bytes that a bucket of gradients has at least, if there are as many: below, a message's latency counts. */
    private static final long BUCKET = 16 << 20;

    @Override
    public String name() {
        return BEGIN;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        DType t = in.get(0).dtype();
        Op.require(
                in.size() == 1
                        && (t == DType.F32 || t == DType.F64)
                        && !(in.get(0).node().op() instanceof Leaf),
                this,
                in,
                "takes a computed tensor of f32 or f64");
        return List.of(in.get(0).type());
    }

    @Override
    public int storage(int output) {
        return 0;
    }

    /** True, so that it travels while as much as possible is still to be computed. */
    @Override
    public boolean urgent() {
        return true;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.in("x", 0)
                .out("y", 0)
                .i64("n", x.shape().elements())
                .choice("type", x.dtype() == DType.F64 ? Stored.F64 : Stored.F32)
                .flag("mean", mean);
    }

    /** Waits for the sum. */
    private record End() implements Op.Update {
        @Override
        public String name() {
            return END;
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(in.get(0).node().op() instanceof AllReduce, this, in, "takes a tensor that is being reduced");
            return List.of(in.get(0).type());
        }

        @Override
        public int storage(int output) {
            return 0;
        }

        @Override
        public Cost cost(Node n) {
            return Cost.NONE;
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("x", 0).out("y", 0);
        }
    }

    /** None: a single process cannot run the op. RanksTest runs it. */
    public static List<OpCase> cases() {
        return List.of();
    }

    private static Value end(Value begun) {
        return begun.graph().apply(new End(), begun).output(0);
    }

    /** The sum of a tensor over the ranks. */
    public static Value sum(Value x) {
        return end(x.graph().apply(new AllReduce(false), x).output(0));
    }

    /**
     * The means of f32 tensors over the ranks. Tensors that are computed one after the other share a bucket of
     * {@value #BUCKET} bytes or more, which travels while later ones are computed.
     */
    public static List<Value> means(List<Value> tensors) {
        List<Value> inOrder = new ArrayList<>(tensors.stream().distinct().toList());
        inOrder.sort(Comparator.comparingInt(v -> v.node().id()));
        List<Value> apart = new ArrayList<>(), bucket = new ArrayList<>();
        List<List<Value>> buckets = new ArrayList<>();
        long bytes = 0;
        for (Value v : inOrder) {
            if (!isPart(v)) {
                apart.add(v);
                continue;
            }
            bucket.add(v);
            bytes += (long) Op.bytes(v);
            if (bytes < BUCKET) continue;
            buckets.add(bucket);
            bucket = new ArrayList<>();
            bytes = 0;
        }
        if (!bucket.isEmpty()) buckets.add(bucket);
        if (!apart.isEmpty()) buckets.add(apart);
        List<Value> begun = buckets.stream().map(AllReduce::begin).toList();
        Map<Value, Value> means = new LinkedHashMap<>();
        for (int k = 0; k < buckets.size(); k++) {
            List<Value> parts = buckets.get(k);
            List<Value> flat = Ops.split(
                    end(begun.get(k)),
                    parts.stream()
                            .mapToInt(v -> Math.toIntExact(v.shape().elements()))
                            .toArray());
            for (int i = 0; i < parts.size(); i++)
                means.put(
                        parts.get(i),
                        Ops.reshape(flat.get(i), parts.get(i).shape().dims()));
        }
        return tensors.stream().map(means::get).toList();
    }

    /** Whether a plan can compute a tensor within a larger one, so that nothing is copied. */
    private static boolean isPart(Value v) {
        Node n = v.node();
        return !(n.op() instanceof Leaf)
                && n.op().storage(v.index()) < 0
                && !n.op().joins(n)
                && (long) Op.bytes(v) % Op.ALIGNMENT == 0;
    }

    private static Value begin(List<Value> parts) {
        List<Assemble.Piece> pieces = new ArrayList<>();
        long elements = 0;
        for (int i = 0; i < parts.size(); i++) {
            long n = parts.get(i).shape().elements();
            pieces.add(new Assemble.Piece(i, 0, n, n));
            elements += n;
        }
        Value flat = parts.get(0)
                .graph()
                .apply(new Assemble(1, pieces, Shape.of(Math.toIntExact(elements))), parts)
                .output(0);
        return flat.graph().apply(new AllReduce(true), flat).output(0);
    }
}
