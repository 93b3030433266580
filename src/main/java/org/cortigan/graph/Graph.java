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
 * A computation as a growing list of immutable nodes. Nothing is computed here; a {@code Plan} and a {@code Session} do
 * that. A graph is built by one thread; once built it may be read by many.
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

    /** All nodes, inputs before their users. */
    public List<Node> nodes() {
        return Collections.unmodifiableList(nodes);
    }

    /** Adds a node; the operation checks its inputs. */
    public Node apply(Operation op, List<Value> inputs) {
        for (Value v : inputs)
            if (v.graph() != this)
                throw new IllegalArgumentException(op.name() + ": input " + v + " is of another graph");
        Node n = new Node(this, nodes.size(), op, inputs, op.infer(inputs), scope, backward);
        nodes.add(n);
        return n;
    }

    public Node apply(Operation op, Value... inputs) {
        return apply(op, Arrays.asList(inputs));
    }

    public Value input(String name, DType dtype, int... dims) {
        return leaf(new Leaf.Input(name, Type.of(dtype, dims)));
    }

    /** The variable of that name; asking again with the same type gives the same value. */
    public Value variable(String name, DType dtype, int... dims) {
        Value old = leaves.get(name);
        Leaf leaf = new Leaf.Variable(name, Type.of(dtype, dims));
        if (old != null && old.node().op().equals(leaf)) return old;
        return leaf(leaf);
    }

    public Value constant(double value, DType dtype, int... dims) {
        return constants.computeIfAbsent(new Leaf.Constant(value, Type.of(dtype, dims)), k -> apply(k).output(0));
    }

    /** A constant i32 tensor with these contents; equal tables are one value. */
    public Value table(int[] values, int... dims) {
        return constants.computeIfAbsent(Leaf.Table.of(values, dims), k -> apply(k).output(0));
    }

    private Value leaf(Leaf leaf) {
        if (leaves.containsKey(leaf.id()))
            throw new IllegalArgumentException("the graph already has an input or variable named '" + leaf.id() + "'");
        Value v = apply(leaf).output(0);
        leaves.put(leaf.id(), v);
        return v;
    }

    /** Names a value that a session must compute and keep until the end of a run. */
    public void output(String name, Value v) {
        if (outputs.putIfAbsent(name, v) != null)
            throw new IllegalArgumentException("the graph already has an output named '" + name + "'");
    }

    public Map<String, Value> outputs() {
        return Collections.unmodifiableMap(outputs);
    }

    /** Labels the nodes made until the scope is closed; scopes nest as {@code a/b}. An empty name adds nothing. */
    public Scope scope(String name) {
        return enter(nested(name), backward);
    }

    /** Marks the nodes made until the scope is closed as {@link Node#backward()}, and labels them {@code backward}. */
    public Scope backwardScope() {
        return enter(nested("backward"), true);
    }

    /** The label and the mark of a node, often of another graph, for its copy here. */
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

    /** A label and a mark in force; for try-with-resources. */
    public interface Scope extends AutoCloseable {
        @Override
        void close();
    }

    /** Stable text: one node a line, then the outputs. Equal graphs give equal texts. */
    @Override
    public String toString() {
        StringBuilder s = new StringBuilder();
        for (Node n : nodes) s.append(n).append('\n');
        outputs.forEach(
                (k, v) -> s.append("output ").append(k).append(" = ").append(v).append('\n'));
        return s.toString();
    }
}
