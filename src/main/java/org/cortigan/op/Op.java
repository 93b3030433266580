// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Value;

/**
 * One operation, complete: shapes, derivative, cost, kernel and arguments. Implementations are records in this package.
 * One file holds an op, the ops of its derivative as nested records, and the cases from which {@link OpCases} derives
 * tests and benchmarks.
 */
public interface Op extends Operation {
    /** The op of a node that is not a leaf. */
    static Op of(Node n) {
        return (Op) n.op();
    }

    /**
     * Gradients with respect to the inputs, as new nodes.
     *
     * @param dOut gradient of each output, null where nothing flows back
     * @param wanted which inputs need one; others may be left null to save work
     * @return one per input, null where there is none (indices, targets, statistics)
     * @throws UnsupportedOperationException for a {@link NoGradient}, and for an output or a form of the op that has no
     *     gradient
     */
    List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted);

    Cost cost(Node n);

    /** Name of the kernel in kernels/kernels.def. A {@link View} has none. */
    default String kernel() {
        return name();
    }

    /** Which column of the kernel table serves this node: by default the type of its first floating-point input. */
    default DType variant(Node n) {
        for (Value v : n.inputs()) if (v.dtype().isFloat()) return v.dtype();
        return n.output(0).dtype();
    }

    /** Writes the kernel's arguments. */
    void args(Node n, ArgWriter w);

    /** Input whose storage this output may take over when nothing else needs it, or -1. Elementwise ops only. */
    default int inPlace(Node n, int output) {
        return -1;
    }

    /**
     * Whether the backward pass may compute this output again, so that it need not be kept from the forward pass. This
     * pays where the op is fast beside its neighbours and where {@link #again} needs only values that are kept anyway.
     */
    default boolean cheap(int output) {
        return false;
    }

    /**
     * Computes a {@link #cheap} output again, in another graph.
     *
     * @param n the node whose output is wanted
     * @param kept the copy in the other graph of an input or output of {@code n}
     */
    default Value again(Node n, UnaryOperator<Value> kept) {
        List<Value> in = n.inputs().stream().map(kept).toList();
        return in.get(0).graph().apply(this, in).output(0);
    }

    /** The usual cost: given FLOPs, every input read and every output written once. */
    static Cost cost(Node n, double flops) {
        double r = 0, w = 0;
        for (Value v : n.inputs()) r += bytes(v);
        for (Value v : n.outputs()) w += bytes(v);
        return new Cost(flops, r, w);
    }

    static double bytes(Value v) {
        return (double) v.shape().elements() * v.dtype().bytes();
    }

    /** Throws unless the condition holds; the message names the op, the inputs and the demand. */
    static void require(boolean ok, Operation op, List<Value> inputs, String demand) {
        if (ok) return;
        List<String> types = new ArrayList<>();
        for (Value v : inputs) types.add(v.type().toString());
        throw new IllegalArgumentException(op.name() + " on " + String.join(", ", types) + ": " + demand);
    }

    /** An op that nothing is differentiated through. */
    interface NoGradient extends Op {
        @Override
        default List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
            throw new UnsupportedOperationException(name() + " has no gradient");
        }
    }

    /** An op on gradients: what another op's {@link Op#gradient} adds to the graph, or what an update reads. */
    interface Gradient extends NoGradient {}

    /** An op on data, such as photographs, that nobody asks a gradient of. */
    interface OfData extends NoGradient {}

    /**
     * Overwrites variables with their next state: an optimizer's step, running statistics. Every output lives in the
     * storage of an input. Derivatives end here: whoever reads the new state is not differentiated by the old one.
     */
    interface Update extends NoGradient {
        @Override
        int storage(int output);

        @Override
        default boolean overwrites(int output) {
            return true;
        }
    }

    /** Every output is the storage of an input, seen in another way. A view computes nothing and has no kernel. */
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
