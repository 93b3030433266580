// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.jspecify.annotations.Nullable;

/** The buffer of every value and of every node's scratch memory, and the steps during which each buffer is in use. */
final class Buffers {
    /** Memory that one or several values share, or the scratch memory of one node. */
    static final class Buffer {
        final long bytes;
        /** The leaf whose storage this is; null for a buffer in the arena. */
        final @Nullable Leaf leaf;

        final String label;
        final int first;
        private int last = -1;
        private long offset = -1;

        private Buffer(long bytes, @Nullable Leaf leaf, int first, String label) {
            this.bytes = bytes;
            this.leaf = leaf;
            this.first = first;
            this.label = label;
        }

        /** The last step that uses this buffer. */
        int last() {
            return last;
        }

        private void useUntil(int step) {
            last = Math.max(last, step);
        }

        /** Offset in the arena, in bytes; -1 before the layout and for leaves. */
        long offset() {
            return offset;
        }

        void place(long at) {
            offset = at;
        }
    }

    private final ToLongFunction<Value> valueBytes;
    private final Map<Value, Buffer> values = new HashMap<>();
    private final Map<Node, Buffer> scratch = new HashMap<>();
    private final List<Buffer> arena = new ArrayList<>();

    /** @param valueBytes size of a value on the device */
    Buffers(ToLongFunction<Value> valueBytes) {
        this.valueBytes = valueBytes;
    }

    /** Adds the storage of leaves, which is not in the arena. */
    void addLeaves(Map<Leaf, Value> leaves) {
        leaves.forEach((leaf, v) -> values.put(v, new Buffer(valueBytes.applyAsLong(v), leaf, Integer.MAX_VALUE, "")));
    }

    /**
     * Gives the outputs and the scratch memory of all steps their buffers, in forward order.
     *
     * @param targets values that stay readable after the last step
     * @param scratchBytes scratch memory of a node, 0 for none
     * @param inPlace whether elementwise nodes may take over the storage of an input that no later node reads
     */
    void addSteps(List<Node> steps, Collection<Value> targets, ToLongFunction<Node> scratchBytes, boolean inPlace) {
        Map<Value, Integer> lastUse = lastUses(steps, targets);
        for (int i = 0; i < steps.size(); i++) {
            Node n = steps.get(i);
            for (Value out : n.outputs()) {
                Buffer b = output(n, out, i, inPlace);
                values.put(out, b);
                b.useUntil(Math.max(i, lastUse.getOrDefault(out, i)));
            }
            long bytes = scratchBytes.applyAsLong(n);
            if (bytes > 0) scratch.put(n, scratch(n, bytes, i));
        }
    }

    /**
     * The last step that uses each value or one of its views. A buffer is in use until the last use of any value in it,
     * but buffers are assigned in forward order, before later views are known: the backward pass adds them.
     */
    private static Map<Value, Integer> lastUses(List<Node> steps, Collection<Value> targets) {
        Map<Value, Integer> lastUse = new HashMap<>();
        for (int i = 0; i < steps.size(); i++) for (Value in : steps.get(i).inputs()) lastUse.put(in, i);
        for (Value t : targets) lastUse.put(t, steps.size());
        for (int i = steps.size() - 1; i >= 0; i--) {
            Node n = steps.get(i);
            for (Value out : n.outputs()) {
                int s = n.op().storage(out.index());
                if (s >= 0) lastUse.merge(n.input(s), lastUse.getOrDefault(out, i), Math::max);
            }
        }
        return lastUse;
    }

    /** The buffer of an output: that of an input whose storage it shares or takes over, otherwise a new one. */
    private Buffer output(Node n, Value out, int step, boolean inPlace) {
        Op op = Op.of(n);
        int s = op.storage(out.index());
        if (s < 0 && inPlace) s = takeOver(n, op, out, step);
        if (s >= 0) return of(n.input(s));
        String label = n.op().name() + (n.label().isEmpty() ? "" : " " + n.label()) + " " + out.type();
        Buffer b = new Buffer(valueBytes.applyAsLong(out), null, step, label);
        arena.add(b);
        return b;
    }

    /**
     * The input whose buffer an elementwise output may reuse: an arena buffer of the same size that no later step and
     * no other input or output of the node uses. -1 if there is none.
     */
    private int takeOver(Node n, Op op, Value out, int step) {
        int s = op.inPlace(n, out.index());
        if (s < 0) return -1;
        Buffer b = of(n.input(s));
        if (b.leaf != null || b.bytes != valueBytes.applyAsLong(out) || b.last > step) return -1;
        for (int k = 0; k < n.inputs().size(); k++) if (k != s && values.get(n.input(k)) == b) return -1;
        for (Value other : n.outputs()) if (other.index() < out.index() && values.get(other) == b) return -1;
        return s;
    }

    private Buffer scratch(Node n, long bytes, int step) {
        Buffer b = new Buffer(bytes, null, step, "scratch of " + n.op().name() + " " + n.label());
        b.useUntil(step);
        arena.add(b);
        return b;
    }

    /** The buffers in the arena, in the order of their first use. */
    List<Buffer> arena() {
        return arena;
    }

    /** The buffer of a value. */
    Buffer of(Value v) {
        Buffer b = values.get(v);
        if (b == null) throw new IllegalArgumentException(v + " is not part of the plan");
        return b;
    }

    /** The buffer of a node's scratch memory, or null if it has none. */
    @Nullable
    Buffer scratchOf(Node n) {
        return scratch.get(n);
    }
}
