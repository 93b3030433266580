// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.jni.Memory;
import org.cortigan.plan.Plan;
import org.jspecify.annotations.Nullable;

/**
 * Allocates a planned graph's leaves and arena, finds its outputs, and binds every kernel to the tensors' addresses.
 */
final class Binding {
    private final Graph graph;
    private final Plan plan;
    private final Device device;
    private final Variables variables;
    private final Map<Leaf, Long> leafAddresses = new HashMap<>();
    private final Map<String, Storage> inputs = new LinkedHashMap<>();
    private final Map<String, Storage> outputs = new LinkedHashMap<>();
    private final Memory arena;
    private final Mirror mirror;

    Binding(
            Graph graph,
            PreparedGraph prepared,
            Device device,
            Variables variables,
            Arena arena,
            SessionMemory memory) {
        this.graph = graph;
        this.device = device;
        this.variables = variables;
        plan = prepared.plan();
        placeVariables(memory);
        List<Map.Entry<Leaf, Value>> leaves = ownLeaves();
        Memory block = memory.device(bytes(leaves));
        this.arena = memory.within(() -> arena.block(plan.report().arenaBytes()));
        mirror = new Mirror(
                device.runtime(), memory, block.address(), mirroredInputBytes(leaves), mirroredOutputBytes());
        placeLeaves(leaves, block);
        for (PreparedKernel k : prepared.kernels()) bind(k);
        graph.outputs().forEach((name, v) -> {
            Storage s = output(v);
            if (s != null) outputs.put(name, s);
        });
    }

    /** Bytes of the memory block that holds a session's inputs and constants. */
    static long inputBytes(Plan plan, Device device) {
        long n = 0;
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet())
            if (!(e.getKey() instanceof Leaf.Variable)) n += SessionMemory.aligned(bytes(e.getValue(), device));
        return n;
    }

    /** Inputs by name. */
    Map<String, Storage> inputs() {
        return inputs;
    }

    /** Outputs by name. */
    Map<String, Storage> outputs() {
        return outputs;
    }

    Memory arena() {
        return arena;
    }

    Mirror mirror() {
        return mirror;
    }

    private void placeVariables(SessionMemory memory) {
        for (Leaf leaf : plan.leaves().keySet())
            if (leaf instanceof Leaf.Variable v) {
                Storage s = memory.within(() -> variables.get(v.id(), v.type()));
                leafAddresses.put(v, s.address());
            }
    }

    /**
     * Inputs and constants, also inputs that no output depends on, so that callers may write them. Mirrored inputs come
     * first: they are adjacent, so that one copy uploads them all.
     */
    private List<Map.Entry<Leaf, Value>> ownLeaves() {
        List<Map.Entry<Leaf, Value>> own = new ArrayList<>();
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet())
            if (!(e.getKey() instanceof Leaf.Variable)) own.add(e);
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Input in && !plan.leaves().containsKey(in)) own.add(Map.entry(in, n.output(0)));
        own.sort((a, b) -> Boolean.compare(isMirrored(b), isMirrored(a)));
        return own;
    }

    private void placeLeaves(List<Map.Entry<Leaf, Value>> leaves, Memory block) {
        long offset = 0;
        for (Map.Entry<Leaf, Value> e : leaves) {
            Leaf leaf = e.getKey();
            Value v = e.getValue();
            Storage s = isMirrored(e)
                    ? mirror.input(v.type(), device.storedAs(v.dtype()), offset)
                    : Storage.in(block, offset, v.type(), device);
            if (leaf instanceof Leaf.Constant c) s.fill(c.value());
            else if (leaf instanceof Leaf.Table t) {
                if (v.dtype() == DType.I32) s.write(t.toArray());
                else s.write(t.toFloats());
            } else inputs.put(leaf.id(), s);
            leafAddresses.put(leaf, s.address());
            offset += SessionMemory.aligned(bytes(v));
        }
    }

    /**
     * The storage of an output; null for a constant or a table, which cannot be read.
     *
     * @throws IllegalArgumentException if the output is only a part of an input or variable
     */
    private @Nullable Storage output(Value v) {
        Leaf leaf = plan.leafOf(v);
        if (leaf != null && v.shape().elements() != leaf.type().shape().elements())
            throw new IllegalArgumentException(
                    "the output " + v + " is a part of '" + leaf.id() + "': read that instead");
        if (leaf instanceof Leaf.Variable x) return variables.get(x.id(), x.type());
        if (leaf != null) return inputs.get(leaf.id());
        return isMirrored(v)
                ? mirror.output(v.type(), device.storedAs(v.dtype()), arena.address() + plan.offset(v))
                : Storage.in(arena, plan.offset(v), v.type(), device);
    }

    private void bind(PreparedKernel k) {
        Node n = k.node();
        OptionalLong planned = plan.scratchOffset(n);
        long scratch = planned.isPresent() ? arena.address() + planned.getAsLong() : 0;
        k.bind(new ArgBlock.Addresses() {
            @Override
            public long in(int i, long element) {
                return address(n.input(i), element);
            }

            @Override
            public long out(int i, long element) {
                return address(n.output(i), element);
            }

            @Override
            public long scratch() {
                return scratch;
            }

            @Override
            public long state() {
                return k.state();
            }
        });
    }

    private long address(Value v, long element) {
        Leaf leaf = plan.leafOf(v);
        long base = leaf != null
                ? Objects.requireNonNull(leafAddresses.get(leaf), "the leaf has no storage")
                : arena.address();
        return base + plan.offset(v) + element * device.elementBytes(v.dtype());
    }

    private boolean isMirrored(Map.Entry<Leaf, Value> e) {
        return e.getKey() instanceof Leaf.Input && isMirrored(e.getValue());
    }

    private boolean isMirrored(Value v) {
        return device.runtime().isAsynchronous() && bytes(v) <= Mirror.LIMIT_BYTES;
    }

    private long mirroredInputBytes(List<Map.Entry<Leaf, Value>> leaves) {
        return bytes(leaves.stream().filter(this::isMirrored).toList());
    }

    private long mirroredOutputBytes() {
        return graph.outputs().values().stream()
                .filter(v -> plan.leafOf(v) == null && isMirrored(v))
                .mapToLong(v -> SessionMemory.aligned(bytes(v)))
                .sum();
    }

    private long bytes(List<Map.Entry<Leaf, Value>> leaves) {
        return leaves.stream()
                .mapToLong(e -> SessionMemory.aligned(bytes(e.getValue())))
                .sum();
    }

    private long bytes(Value v) {
        return bytes(v, device);
    }

    private static long bytes(Value v, Device device) {
        return v.shape().elements() * device.elementBytes(v.dtype());
    }
}
