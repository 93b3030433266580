// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * One operation: shapes, gradient, cost, kernel and kernel arguments. Implementations are records in this package. One
 * file holds an op, the ops of its gradient as nested records, and the cases from which tests and benchmarks are
 * derived ({@link OpCases}).
 */
public interface Op extends Operation {
    /** Every tensor begins at a multiple of this many bytes. */
    int ALIGNMENT = 256;

    /** The op of a node; the node must not be a leaf. */
    static Op of(Node n) {
        return (Op) n.op();
    }

    /**
     * Adds nodes for the gradients with respect to the inputs.
     *
     * @param dOut gradient of each output, null for an output that the loss does not depend on
     * @param wanted which inputs need a gradient; the others may be null to save work
     * @return one gradient per input, null for inputs without gradient (indices, targets, statistics)
     * @throws UnsupportedOperationException for a {@link NoGradient}, and for an output or a form of the op without
     *     gradient
     */
    List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted);

    /** Lower bound of the work that a node of this op does. */
    Cost cost(Node n);

    /** Name of the kernel in kernels/kernels.def. A {@link View} has none. */
    default String kernel() {
        return name();
    }

    /** Column of the kernel table for this node: by default the type of its first floating-point input. */
    default DType variant(Node n) {
        for (Value v : n.inputs()) if (v.dtype().isFloat()) return v.dtype();
        return n.output(0).dtype();
    }

    /** Writes the kernel's arguments. */
    void args(Node n, ArgWriter w);

    /** Input whose storage this output may reuse if no later node reads the input, or -1. For elementwise ops only. */
    default int inPlace(Node n, int output) {
        return -1;
    }

    /**
     * Whether the backward pass may recompute this output, so that the forward pass need not keep it. This pays if the
     * op is fast compared with its neighbours and {@link #recompute} reads only values that are kept anyway.
     */
    default boolean cheap(int output) {
        return false;
    }

    /**
     * Adds nodes that recompute a {@link #cheap} output to another graph.
     *
     * @param n the node whose output is recomputed
     * @param kept maps an input or output of {@code n} to its copy in the other graph
     */
    default Value recompute(Node n, UnaryOperator<Value> kept) {
        List<Value> in = n.inputs().stream().map(kept).toList();
        return in.get(0).graph().apply(this, in).output(0);
    }

    /** The usual cost: the given FLOPs, every input read once and every output written once. */
    static Cost cost(Node n, double flops) {
        double r = 0, w = 0;
        for (Value v : n.inputs()) r += bytes(v);
        for (Value v : n.outputs()) w += bytes(v);
        return new Cost(flops, r, w);
    }

    /** Size of a value in bytes, in its named type. */
    static double bytes(Value v) {
        return (double) v.shape().elements() * v.dtype().bytes();
    }

    /**
     * Checks a condition on the inputs.
     *
     * @throws IllegalArgumentException if the condition does not hold; the message names the op, the types of the
     *     inputs and the demand
     */
    static void require(boolean ok, Operation op, List<Value> inputs, String demand) {
        if (ok) return;
        List<String> types = new ArrayList<>();
        for (Value v : inputs) types.add(v.type().toString());
        throw new IllegalArgumentException(op.name() + " on " + String.join(", ", types) + ": " + demand);
    }

    /** An op without gradient. */
    interface NoGradient extends Op {
        @Override
        default List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
            throw new UnsupportedOperationException(name() + " has no gradient");
        }
    }

    /**
     * Matrix products or a convolution. The last wave of its blocks leaves multiprocessors of a GPU idle, so a device
     * may run two of them in parallel.
     */
    interface Product extends Op {}

    /** An op on gradients: {@link Op#gradient} of another op adds it to the graph, or an update reads its output. */
    interface Gradient extends NoGradient {}

    /** An op on data, such as images, which need no gradient. */
    interface OfData extends NoGradient {}

    /**
     * Overwrites variables with their next state: an optimizer step, running statistics. Every output lives in the
     * storage of an input. Back-propagation stops here: it does not pass from the new state to the old one.
     */
    interface Update extends NoGradient {
        @Override
        int storage(int output);

        @Override
        default boolean overwrites(int output) {
            return true;
        }
    }

    /** Every output shares the storage of an input. A view computes nothing and has no kernel. */
    interface View extends Op {
        @Override
        int storage(int output);

        @Override
        default Cost cost(Node n) {
            return Cost.NONE;
        }

        @Override
        default String kernel() {
            throw new UnsupportedOperationException(name() + " is a view, it has no kernel");
        }

        @Override
        default void args(Node n, ArgWriter w) {
            throw new UnsupportedOperationException(name() + " is a view, it has no kernel");
        }
    }
}
