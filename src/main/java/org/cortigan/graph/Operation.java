// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.util.List;

/**
 * What a node computes, as the graph sees it. Implementations are immutable records whose {@code toString} is stable:
 * it is part of the graph's text.
 */
public interface Operation {
    String name();

    /**
     * Types of the outputs.
     *
     * @throws IllegalArgumentException if the inputs do not fit, naming the op, the inputs' shapes and what would fit
     */
    List<Type> infer(List<Value> inputs);

    /**
     * The input whose storage this output is: a view (reshape) or, where {@link #overwrites(int)}, an update in place
     * of a variable; -1 if the output has storage of its own.
     */
    default int storage(int output) {
        return -1;
    }

    /** Whether this output writes new contents into the storage it shares. */
    default boolean overwrites(int output) {
        return false;
    }
}
