// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.Objects;

/** One output of a node: a symbolic, immutable tensor. A plan assigns its storage. */
public final class Value {
    private final Node node;
    private final int index;
    private final Type type;

    Value(Node node, int index, Type type) {
        this.node = node;
        this.index = index;
        this.type = Objects.requireNonNull(type);
    }

    /** The node that computes this value. */
    public Node node() {
        return node;
    }

    /** Position among the node's outputs. */
    public int index() {
        return index;
    }

    public Graph graph() {
        return node.graph();
    }

    public Type type() {
        return type;
    }

    public Shape shape() {
        return type.shape();
    }

    public DType dtype() {
        return type.dtype();
    }

    /** Extent of an axis; negative axes count from the end. */
    public int dim(int axis) {
        return type.shape().dim(axis);
    }

    @Override
    public String toString() {
        return "%" + node.id() + (node.outputs().size() > 1 ? "." + index : "") + ":" + type;
    }
}
