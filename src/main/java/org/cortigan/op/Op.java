// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Value;

/**
 * One operation, complete: shapes, derivative, cost, kernel and arguments. Implementations are records in this package,
 * one file each; {@link OpCases} lists the cases from which tests and benchmarks are derived.
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
     * @throws UnsupportedOperationException for ops that are themselves gradients or updates
     */
    default List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
        throw new UnsupportedOperationException(name() + " has no gradient");
    }

    /** Whether this is an optimizer's update: derivatives end there, as what it gives is new state. */
    default boolean update() {
        return false;
    }

    Cost cost(Node n);

    /** Name of the kernel in kernels/kernels.def, or null for a view that computes nothing. */
    String kernel();

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
}
