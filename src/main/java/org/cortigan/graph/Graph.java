// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A computation as a growing list of immutable nodes. A graph computes nothing: a {@code Plan} orders its nodes and a
 * {@code Session} runs them. One thread builds a graph; many threads may read it afterwards.
 */
public final class Graph {
    private final List<Node> nodes = new ArrayList<>();
    private final Map<String, Value> leaves = new HashMap<>();
    private final Map<Leaf, Value> constants = new HashMap<>();
    private final Map<String, Value> outputs = new LinkedHashMap<>();
    private String scope = "";
    private boolean backward;

    /** An empty graph. */
    public Graph() {}

    /** All nodes in the order of their creation, which is topological. */
    public List<Node> nodes() {
        return Collections.unmodifiableList(nodes);
    }

    /**
     * Adds a node.
     *
     * @throws IllegalArgumentException if the operation refuses its inputs or an input belongs to another graph
     */
    public Node apply(Operation op, List<Value> inputs) {
        for (Value v : inputs)
            if (v.graph() != this)
                throw new IllegalArgumentException(op.name() + ": input " + v + " belongs to another graph");
        Node n = new Node(this, nodes.size(), op, inputs, op.infer(inputs), scope, backward);
        nodes.add(n);
        return n;
    }

    /** Adds a node; see {@link #apply(Operation, List)}. */
    public Node apply(Operation op, Value... inputs) {
        return apply(op, Arrays.asList(inputs));
    }

    /**
     * Adds a tensor that is fed before each run.
     *
     * @throws IllegalArgumentException if the graph already has an input or variable of that name
     */
    public Value input(String name, DType dtype, int... dims) {
        return leaf(new Leaf.Input(name, Type.of(dtype, dims)));
    }

    /**
     * The variable of that name. A second call with the same type returns the same value.
     *
     * @throws IllegalArgumentException if the name belongs to an input or to a variable of another type
     */
    public Value variable(String name, DType dtype, int... dims) {
        Value old = leaves.get(name);
        Leaf leaf = new Leaf.Variable(name, Type.of(dtype, dims));
        if (old != null && old.node().op().equals(leaf)) return old;
        return leaf(leaf);
    }

    /** A tensor filled with one number; equal constants are one value. */
    public Value constant(double value, DType dtype, int... dims) {
        return constants.computeIfAbsent(new Leaf.Constant(value, Type.of(dtype, dims)), k -> apply(k).output(0));
    }

    /** A constant i32 tensor with the given contents; equal tables are one value. */
    public Value table(int[] values, int... dims) {
        return table(Leaf.Table.of(values, dims));
    }

    /** A constant f32 tensor with the given contents; equal tables are one value. */
    public Value table(float[] values, int... dims) {
        return table(Leaf.Table.of(values, dims));
    }

    private Value table(Leaf.Table t) {
        return constants.computeIfAbsent(t, k -> apply(k).output(0));
    }

    /** Adds a leaf of another graph, with its name, type and contents. */
    public Value copy(Leaf leaf) {
        int[] dims = leaf.type().shape().dims();
        if (leaf instanceof Leaf.Variable)
            return variable(leaf.id(), leaf.type().dtype(), dims);
        if (leaf instanceof Leaf.Table t) return table(t);
        if (leaf instanceof Leaf.Constant c)
            return constant(c.value(), leaf.type().dtype(), dims);
        return leaf(leaf);
    }

    private Value leaf(Leaf leaf) {
        if (leaves.containsKey(leaf.id()))
            throw new IllegalArgumentException("the graph already has an input or variable named '" + leaf.id() + "'");
        Value v = apply(leaf).output(0);
        leaves.put(leaf.id(), v);
        return v;
    }

    /**
     * Names a value that a session must compute and keep until the end of a run.
     *
     * @throws IllegalArgumentException if the graph already has an output of that name
     */
    public void output(String name, Value v) {
        if (outputs.putIfAbsent(name, v) != null)
            throw new IllegalArgumentException("the graph already has an output named '" + name + "'");
    }

    /** Named outputs in the order of their declaration. */
    public Map<String, Value> outputs() {
        return Collections.unmodifiableMap(outputs);
    }

    /** Labels the nodes added until the scope is closed. Nested scopes give {@code a/b}; an empty name adds nothing. */
    public Scope scope(String name) {
        return enter(nested(name), backward);
    }

    /**
     * Until the scope is closed, adds {@code backward} to the labels of new nodes and marks them as
     * {@link Node#backward()}.
     */
    public Scope backwardScope() {
        return enter(nested("backward"), true);
    }

    /**
     * Until the scope is closed, gives new nodes the label and the backward mark of {@code n}, usually a node of
     * another graph.
     */
    public Scope scopeOf(Node n) {
        return enter(n.label(), n.backward());
    }

    private String nested(String name) {
        if (name.isEmpty()) return scope;
        return scope.isEmpty() ? name : scope + "/" + name;
    }

    private Scope enter(String label, boolean isBackward) {
        String outerLabel = scope;
        boolean outerBackward = backward;
        scope = label;
        backward = isBackward;
        return () -> {
            scope = outerLabel;
            backward = outerBackward;
        };
    }

    /** An open scope, for try-with-resources; {@link #close} restores the enclosing scope. */
    public interface Scope extends AutoCloseable {
        @Override
        void close();
    }

    /** Stable text: one node per line, then the outputs. Equal graphs have equal texts. */
    @Override
    public String toString() {
        StringBuilder s = new StringBuilder();
        for (Node n : nodes) s.append(n).append('\n');
        outputs.forEach(
                (k, v) -> s.append("output ").append(k).append(" = ").append(v).append('\n'));
        return s.toString();
    }
}
