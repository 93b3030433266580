// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
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
        private long offset;

        private Buffer(long bytes, @Nullable Leaf leaf, int first, String label) {
            this.bytes = bytes;
            this.leaf = leaf;
            offset = leaf == null ? -1 : 0;
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

        /** Offset in the arena, in bytes; -1 before the layout, 0 for leaves. */
        long offset() {
            return offset;
        }

        void place(long at) {
            offset = at;
        }
    }

    /** Where a value lies: its buffer, and the bytes between the buffer's start and its own. */
    private record Place(Buffer buffer, long offset) {}

    /** A value that is computed in the buffer of another one, {@code offset} bytes from its start. */
    private record Part(Value whole, long offset) {}

    private final ToLongFunction<Value> valueBytes;
    private final Slots slots;
    private final Map<Value, Place> values = new HashMap<>();
    private final Map<Value, Part> parts = new HashMap<>();
    private final Map<Node, Buffer> scratch = new HashMap<>();
    private final List<Buffer> arena = new ArrayList<>();

    /**
     * @param valueBytes size of a value on the device
     * @param slots a buffer is in use during the whole slot of a step that uses it
     */
    Buffers(ToLongFunction<Value> valueBytes, Slots slots) {
        this.valueBytes = valueBytes;
        this.slots = slots;
    }

    /** Adds the storage of leaves, which is not in the arena. */
    void addLeaves(Map<Leaf, Value> leaves) {
        leaves.forEach((leaf, v) ->
                values.put(v, new Place(new Buffer(valueBytes.applyAsLong(v), leaf, Integer.MAX_VALUE, ""), 0)));
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
        Map<Value, Integer> readers = new HashMap<>();
        Set<Value> overwritten = new HashSet<>();
        for (Node n : steps) {
            for (Value in : n.inputs()) readers.merge(in, 1, Integer::sum);
            for (Value out : n.outputs()) {
                int s = n.op().storage(out.index());
                if (s >= 0 && n.op().overwrites(out.index())) overwritten.add(n.input(s));
            }
        }
        for (Value t : targets) readers.merge(t, 1, Integer::sum);
        for (Node n : steps)
            if (n.op().joins(n)) findParts(n, v -> overwritten.contains(n.output(0)) && readers.getOrDefault(v, 0) > 1);
        for (int i = 0; i < steps.size(); i++) {
            Node n = steps.get(i);
            for (Value out : n.outputs()) {
                Place p = output(n, out, i, inPlace);
                values.put(out, p);
                p.buffer.useUntil(slots.last(Math.max(i, lastUse.getOrDefault(out, i))));
            }
            if (isJoined(n)) continue;
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

    /**
     * Lets the inputs of a node that joins them be computed in its output's buffer. Does nothing unless that is
     * possible for all of them: each is computed in storage of its own, is part of this node alone, and begins at an
     * aligned address.
     *
     * @param loses whether another node reads an input, and the output is overwritten
     */
    private void findParts(Node n, Predicate<Value> loses) {
        Map<Value, Part> found = new HashMap<>();
        long at = 0;
        for (Value v : n.inputs()) {
            boolean leaf = v.node().op() instanceof Leaf;
            if (loses.test(v)) return;
            if (leaf || v.node().op().storage(v.index()) >= 0 || v.node().op().joins(v.node()) || parts.containsKey(v))
                return;
            if (at % Plan.ALIGNMENT != 0 || found.put(v, new Part(n.output(0), at)) != null) return;
            at += valueBytes.applyAsLong(v);
        }
        parts.putAll(found);
    }

    /** Whether a node's inputs are computed in its output's buffer, so that the node has nothing to do. */
    boolean isJoined(Node n) {
        return n.op().joins(n) && parts.containsKey(n.input(0)) && parts.get(n.input(0)).whole == n.output(0);
    }

    /** The place of an output: in the value of which it is a part, or that it shares or takes over, or a new one. */
    private Place output(Node n, Value out, int step, boolean inPlace) {
        Part part = parts.get(out);
        if (part != null) {
            Place whole = values.computeIfAbsent(part.whole, w -> allocated(w, step));
            return new Place(whole.buffer, part.offset);
        }
        Op op = Op.of(n);
        int s = op.storage(out.index());
        if (s >= 0) {
            Place shared = place(n.input(s));
            long elementBytes = valueBytes.applyAsLong(out) / out.shape().elements();
            return new Place(shared.buffer, shared.offset + op.storageOffset(n, out.index()) * elementBytes);
        }
        if (values.containsKey(out)) return place(out); // its parts came first
        if (inPlace) s = takeOver(n, op, out, step);
        return s >= 0 ? place(n.input(s)) : allocated(out, step);
    }

    private Place allocated(Value v, int step) {
        Node n = v.node();
        String label = n.op().name() + (n.label().isEmpty() ? "" : " " + n.label()) + " " + v.type();
        Buffer b = new Buffer(valueBytes.applyAsLong(v), null, slots.first(step), label);
        arena.add(b);
        return new Place(b, 0);
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
        for (int k = 0; k < n.inputs().size(); k++) if (k != s && of(n.input(k)) == b) return -1;
        for (Value other : n.outputs()) if (other.index() < out.index() && of(other) == b) return -1;
        return s;
    }

    private Buffer scratch(Node n, long bytes, int step) {
        Buffer b = new Buffer(bytes, null, slots.first(step), "scratch of " + n.op().name() + " " + n.label());
        b.useUntil(slots.last(step));
        arena.add(b);
        return b;
    }

    /** The buffers in the arena, in the order of their first use. */
    List<Buffer> arena() {
        return arena;
    }

    /** The buffer of a value. */
    Buffer of(Value v) {
        return place(v).buffer;
    }

    /** Offset of a value in the arena, or in its leaf's storage, in bytes. */
    long offset(Value v) {
        Place p = place(v);
        return p.buffer.offset + p.offset;
    }

    private Place place(Value v) {
        Place p = values.get(v);
        if (p == null) throw new IllegalArgumentException(v + " is not part of the plan");
        return p;
    }

    /** The buffer of a node's scratch memory, or null if it has none. */
    @Nullable
    Buffer scratchOf(Node n) {
        return scratch.get(n);
    }
}
