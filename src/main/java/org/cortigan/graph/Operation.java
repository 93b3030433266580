// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.List;

/**
 * The graph's view of what a node computes. Implementations are immutable records with a stable {@code toString}, which
 * is part of the graph's text.
 */
public interface Operation {
    /** Short name in texts and messages, for example {@code layernorm}. */
    String name();

    /**
     * Types of the outputs.
     *
     * @throws IllegalArgumentException if the inputs do not fit; the message names the op, the types of its inputs and
     *     what it takes
     */
    List<Type> infer(List<Value> inputs);

    /**
     * The input whose storage this output shares, or -1 if the output has its own storage. A shared output is a view
     * (reshape) or, if {@link #overwrites(int)}, an update of a variable in place.
     */
    default int storage(int output) {
        return -1;
    }

    /** Elements between the start of the shared input and the start of this output of node {@code n}. */
    default long storageOffset(Node n, int output) {
        return 0;
    }

    /**
     * Whether the node's only output is its inputs, one after another. A plan then lets the inputs be computed in the
     * output's storage, where it can, and the node computes nothing.
     */
    default boolean joins(Node n) {
        return false;
    }

    /** Whether a plan should run a node of this op before all others that are ready. */
    default boolean urgent() {
        return false;
    }

    /** Whether this output writes new contents into the storage it shares. */
    default boolean overwrites(int output) {
        return false;
    }
}
