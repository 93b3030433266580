// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.jspecify.annotations.Nullable;

/**
 * The decisions made before a session's first step: the order of the nodes, which values share storage, and the offset
 * of each value in the arena. Leaves (inputs, variables, constants) live outside the arena.
 */
public final class Plan {
    /** Alignment of every offset in an arena, in bytes. */
    public static final int ALIGNMENT = 256;

    /**
     * How to plan for one device.
     *
     * @param elementBytes size of one element on the device
     * @param scratchBytes scratch memory of a node, 0 for none
     * @param guardBytes bytes left unused after every buffer (tests write a pattern there), a multiple of the alignment
     * @param inPlace whether elementwise nodes may take over the storage of an input that no later node reads
     */
    public record Options(
            ToIntFunction<DType> elementBytes, ToLongFunction<Node> scratchBytes, int guardBytes, boolean inPlace) {}

    private static final class Buffer {
        /** Null for a buffer of the arena. */
        @Nullable
        Leaf leaf;

        long bytes;
        int first = Integer.MAX_VALUE;
        int last = -1;
        long offset = -1;
        String label = "";
    }

    private final List<Node> steps = new ArrayList<>();
    private final Map<Value, Buffer> buffers = new HashMap<>();
    private final Map<Node, Buffer> scratch = new HashMap<>();
    private final Map<Leaf, Value> leaves = new LinkedHashMap<>();
    private final PlanReport report;
    private final Options options;

    private Plan(Graph g, Collection<Value> targets, Options o) {
        this.options = o;
        for (Node n : NodeOrder.order(g, targets)) {
            if (n.op() instanceof Leaf) leaves.put((Leaf) n.op(), n.output(0));
            else steps.add(n);
        }
        leaves.forEach((leaf, v) -> {
            Buffer b = new Buffer();
            b.leaf = leaf;
            b.bytes = bytes(v);
            buffers.put(v, b);
        });
        Map<Value, Integer> lastUse = new HashMap<>();
        for (int i = 0; i < steps.size(); i++) for (Value in : steps.get(i).inputs()) lastUse.put(in, i);
        for (Value t : targets) lastUse.put(t, steps.size());
        // A buffer's last use is the last use of any value in it. Buffers are assigned in forward order, but the last
        // use of a value includes that of its later views: this backward pass adds them.
        for (int i = steps.size() - 1; i >= 0; i--) {
            Node n = steps.get(i);
            for (Value out : n.outputs()) {
                int s = n.op().storage(out.index());
                if (s >= 0) lastUse.merge(n.input(s), lastUse.getOrDefault(out, i), Math::max);
            }
        }
        List<Buffer> arena = new ArrayList<>();
        for (int i = 0; i < steps.size(); i++) {
            Node n = steps.get(i);
            Op op = Op.of(n);
            for (Value out : n.outputs()) {
                int s = op.storage(out.index());
                if (s < 0 && o.inPlace) s = takeOver(n, op, out, i);
                Buffer b;
                if (s >= 0) {
                    b = buffer(n.input(s));
                } else {
                    b = new Buffer();
                    b.bytes = bytes(out);
                    b.first = i;
                    b.label = n.op().name() + (n.label().isEmpty() ? "" : " " + n.label()) + " " + out.type();
                    arena.add(b);
                }
                buffers.put(out, b);
                b.last = Math.max(b.last, Math.max(i, lastUse.getOrDefault(out, i)));
            }
            long scratchBytes = o.scratchBytes.applyAsLong(n);
            if (scratchBytes > 0) {
                Buffer b = new Buffer();
                b.bytes = scratchBytes;
                b.first = b.last = i;
                b.label = "scratch of " + n.op().name() + " " + n.label();
                scratch.put(n, b);
                arena.add(b);
            }
        }
        List<ArenaPlanner.Life> lives = new ArrayList<>();
        for (Buffer b : arena) lives.add(new ArenaPlanner.Life(b.bytes + o.guardBytes, b.first, b.last));
        ArenaPlanner.Layout layout = ArenaPlanner.layout(lives, ALIGNMENT);
        List<PlanReport.Item> peak = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < arena.size(); i++) {
            Buffer b = arena.get(i);
            b.offset = layout.offsets()[i];
            sum += b.bytes;
            if (b.first <= layout.peakStep() && layout.peakStep() <= b.last)
                peak.add(new PlanReport.Item(b.label, b.bytes));
        }
        peak.sort((a, b) -> Long.compare(b.bytes(), a.bytes()));
        long persistent = 0;
        for (Value v : leaves.values()) persistent += ArenaPlanner.align(bytes(v), ALIGNMENT);
        report = new PlanReport(
                steps.size(),
                arena.size(),
                sum,
                layout.bytes(),
                layout.lowerBound(),
                persistent,
                steps.isEmpty()
                        ? ""
                        : steps.get(Math.min(layout.peakStep(), steps.size() - 1))
                                .toString(),
                List.copyOf(peak));
    }

    /** Plans the nodes that the targets need. */
    public static Plan of(Graph g, Collection<Value> targets, Options options) {
        return new Plan(g, targets, options);
    }

    /**
     * The input whose buffer an elementwise output may reuse: an arena buffer of the same size that no later step and
     * no other input or output of the node uses. -1 if there is none.
     */
    private int takeOver(Node n, Op op, Value out, int step) {
        int s = op.inPlace(n, out.index());
        if (s < 0) return -1;
        Buffer b = buffer(n.input(s));
        if (b.leaf != null || b.bytes != bytes(out) || b.last > step) return -1;
        for (int k = 0; k < n.inputs().size(); k++) if (k != s && buffers.get(n.input(k)) == b) return -1;
        for (Value other : n.outputs()) if (other.index() < out.index() && buffers.get(other) == b) return -1;
        return s;
    }

    private long bytes(Value v) {
        return v.shape().elements() * options.elementBytes.applyAsInt(v.dtype());
    }

    /** Nodes to run, in order: without leaves, with views, which have no kernel. */
    public List<Node> steps() {
        return steps;
    }

    /** Inputs, variables and constants that the steps use. */
    public Map<Leaf, Value> leaves() {
        return leaves;
    }

    /** The leaf whose storage a value shares, or null if the value lives in the arena. */
    public @Nullable Leaf leafOf(Value v) {
        return buffer(v).leaf;
    }

    /** Offset of a value in the arena, in bytes. Valid only if {@link #leafOf} is null. */
    public long offset(Value v) {
        return buffer(v).offset;
    }

    private Buffer buffer(Value v) {
        Buffer b = buffers.get(v);
        if (b == null) throw new IllegalArgumentException(v + " is not part of the plan");
        return b;
    }

    /** Offset of a node's scratch memory in the arena, in bytes; empty if it has none. */
    public OptionalLong scratchOffset(Node n) {
        Buffer b = scratch.get(n);
        return b == null ? OptionalLong.empty() : OptionalLong.of(b.offset);
    }

    /** {offset, bytes, first step, last step} of every arena buffer, for tests. */
    public List<long[]> intervals() {
        List<long[]> out = new ArrayList<>();
        java.util.Set<Buffer> seen = java.util.Collections.newSetFromMap(new java.util.IdentityHashMap<>());
        seen.addAll(buffers.values());
        seen.addAll(scratch.values());
        for (Buffer b : seen) if (b.leaf == null) out.add(new long[] {b.offset, b.bytes, b.first, b.last});
        return out;
    }

    public PlanReport report() {
        return report;
    }
}
