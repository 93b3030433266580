// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.cortigan.plan.Buffers.Buffer;
import org.jspecify.annotations.Nullable;

/**
 * The decisions made before a session's first step: the order of the nodes, which values share storage, and the offset
 * of each value in the arena. Leaves (inputs, variables, constants) live outside the arena.
 */
public final class Plan {
    /** Alignment of every offset in an arena, in bytes. */
    public static final int ALIGNMENT = Op.ALIGNMENT;

    /**
     * How to plan for one device.
     *
     * @param elementBytes size of one element on the device
     * @param scratchBytes scratch memory of a node, 0 for none
     * @param parallel whether the device may run a node beside another one ({@link #besideNext})
     * @param guardBytes bytes left unused after every buffer (tests write a pattern there), a multiple of the alignment
     * @param inPlace whether elementwise nodes may take over the storage of an input that no later node reads
     */
    public record Options(
            ToIntFunction<DType> elementBytes,
            ToLongFunction<Node> scratchBytes,
            Predicate<Node> parallel,
            int guardBytes,
            boolean inPlace) {}

    private final List<Node> steps = new ArrayList<>();
    private final Map<Leaf, Value> leaves = new LinkedHashMap<>();
    private final Options options;
    private final Slots slots;
    private final Buffers buffers;
    private final PlanReport report;

    private Plan(Graph g, Collection<Value> targets, Options o) {
        options = o;
        for (Node n : NodeOrder.order(g, targets)) {
            if (n.op() instanceof Leaf) leaves.put((Leaf) n.op(), n.output(0));
            else steps.add(n);
        }
        slots = new Slots(steps, o.parallel);
        buffers = new Buffers(this::bytes, slots);
        buffers.addLeaves(leaves);
        buffers.addSteps(steps, targets, o.scratchBytes, o.inPlace);
        report = report(layOut());
    }

    /** Places all buffers of the arena. */
    private ArenaPlanner.Layout layOut() {
        List<Buffer> arena = buffers.arena();
        List<ArenaPlanner.Life> lives = new ArrayList<>();
        for (Buffer b : arena) lives.add(new ArenaPlanner.Life(b.bytes + options.guardBytes, b.first, b.last()));
        ArenaPlanner.Layout layout = ArenaPlanner.layout(lives, ALIGNMENT);
        for (int i = 0; i < arena.size(); i++) arena.get(i).place(layout.offsets()[i]);
        return layout;
    }

    private PlanReport report(ArenaPlanner.Layout layout) {
        List<PlanReport.Item> peak = new ArrayList<>();
        long sum = 0;
        for (Buffer b : buffers.arena()) {
            sum += b.bytes;
            if (b.first <= layout.peakStep() && layout.peakStep() <= b.last())
                peak.add(new PlanReport.Item(b.label, b.bytes));
        }
        peak.sort((a, b) -> Long.compare(b.bytes(), a.bytes()));
        long persistent = 0;
        for (Value v : leaves.values()) persistent += ArenaPlanner.align(bytes(v), ALIGNMENT);
        return new PlanReport(
                steps.size(),
                buffers.arena().size(),
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

    private long bytes(Value v) {
        return v.shape().elements() * options.elementBytes.applyAsInt(v.dtype());
    }

    /** Nodes to run, in order: without leaves, with views, which have no kernel. */
    public List<Node> steps() {
        return steps;
    }

    /**
     * Whether a node may run at the same time as the step after it: neither reads what the other computes, and they
     * share no memory that either writes.
     */
    public boolean besideNext(Node n) {
        return slots.besideNext(n);
    }

    /** Inputs, variables and constants that the steps use. */
    public Map<Leaf, Value> leaves() {
        return leaves;
    }

    /** The leaf whose storage a value shares, or null if the value lives in the arena. */
    public @Nullable Leaf leafOf(Value v) {
        return buffers.of(v).leaf;
    }

    /** Offset of a value in the arena, or in its leaf's storage if {@link #leafOf} is not null, in bytes. */
    public long offset(Value v) {
        return buffers.offset(v);
    }

    /** Offset of a node's scratch memory in the arena, in bytes; empty if it has none. */
    public OptionalLong scratchOffset(Node n) {
        Buffer b = buffers.scratchOf(n);
        return b == null ? OptionalLong.empty() : OptionalLong.of(b.offset());
    }

    /** {offset, bytes, first step, last step} of every arena buffer, for tests. */
    public List<long[]> intervals() {
        List<long[]> out = new ArrayList<>();
        for (Buffer b : buffers.arena()) out.add(new long[] {b.offset(), b.bytes, b.first, b.last()});
        return out;
    }

    public PlanReport report() {
        return report;
    }
}
