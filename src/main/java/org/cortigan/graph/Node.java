// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.ArrayList;
import java.util.List;

/** One application of an operation to values. Immutable; ids follow the order of creation, which is topological. */
public final class Node {
    private final Graph graph;
    private final int id;
    private final Operation op;
    private final List<Value> inputs;
    private final List<Value> outputs;
    private final String label;
    private final boolean backward;

    Node(Graph graph, int id, Operation op, List<Value> inputs, List<Type> types, String label, boolean backward) {
        this.graph = graph;
        this.id = id;
        this.op = op;
        this.inputs = List.copyOf(inputs);
        this.label = label;
        this.backward = backward;
        List<Value> outs = new ArrayList<>();
        for (Type t : types) outs.add(new Value(this, outs.size(), t));
        this.outputs = List.copyOf(outs);
    }

    /** The graph that contains this node. */
    public Graph graph() {
        return graph;
    }

    /** Position in {@link Graph#nodes()}. */
    public int id() {
        return id;
    }

    /** What the node computes. */
    public Operation op() {
        return op;
    }

    /** The operands, in the order that the operation defines. */
    public List<Value> inputs() {
        return inputs;
    }

    public Value input(int i) {
        return inputs.get(i);
    }

    /** The results, one for each type from {@link Operation#infer}. */
    public List<Value> outputs() {
        return outputs;
    }

    public Value output(int i) {
        return outputs.get(i);
    }

    /** Scope in which the node was added, for example {@code generator/blocks.3/attn}; may be empty. */
    public String label() {
        return label;
    }

    /** Whether the node belongs to the backward pass, that is, was added in a {@link Graph#backwardScope}. */
    public boolean backward() {
        return backward;
    }

    /** The op's text. A nested op gets the name of its outer record in front: {@code Attention.Grad[...]}. */
    private String opText() {
        Class<?> outer = op.getClass().getEnclosingClass();
        boolean nested = outer != null && outer.isRecord() && Operation.class.isAssignableFrom(outer);
        return nested ? outer.getSimpleName() + "." + op : op.toString();
    }

    @Override
    public String toString() {
        StringBuilder s = new StringBuilder();
        for (Value v : outputs) s.append(s.isEmpty() ? "" : ", ").append(v);
        s.append(" = ").append(opText()).append('(');
        for (int i = 0; i < inputs.size(); i++) {
            Value v = inputs.get(i);
            s.append(i > 0 ? ", " : "").append('%').append(v.node().id());
            if (v.node().outputs().size() > 1) s.append('.').append(v.index());
        }
        s.append(')');
        if (!label.isEmpty()) s.append("  # ").append(label);
        return s.toString();
    }
}
