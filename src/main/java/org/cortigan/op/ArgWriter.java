// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.function.IntConsumer;
import org.cortigan.graph.DType;

/**
 * Writes a kernel's arguments: every member of its struct (kernels/kernels.def), by name, in any order. Writing throws,
 * naming kernel and member, if a member is unknown, of another kind, written twice or not written.
 */
public interface ArgWriter {
    /** Address of an element of an input. */
    ArgWriter in(String member, int input, long element);

    /** Address of an element of an output. */
    ArgWriter out(String member, int output, long element);

    /** Address of an input. */
    default ArgWriter in(String member, int input) {
        return in(member, input, 0);
    }

    /** Address of an optional input: present if {@code input >= 0}. */
    default ArgWriter inOrNone(String member, int input) {
        return input >= 0 ? in(member, input) : none(member);
    }

    /** Address of an output. */
    default ArgWriter out(String member, int output) {
        return out(member, output, 0);
    }

    /** A null address, for an optional tensor that is absent. */
    ArgWriter none(String member);

    /** An integer. */
    ArgWriter i64(String member, long value);

    /** A floating-point number. */
    ArgWriter f64(String member, double value);

    /** An integer that is 1 or 0. */
    ArgWriter flag(String member, boolean value);

    /** A constant of an enum that Java and the kernels share (CG_ENUM), by name. */
    ArgWriter choice(String member, Enum<?> value);

    /** The type of a tensor, f32 or bf16. */
    ArgWriter type(String member, DType type);

    /** Address of the node's scratch memory, sized by the kernel's scratch function. */
    ArgWriter scratch(String member);

    /** State that the kernel's prepare function returned. */
    ArgWriter state(String member);

    /**
     * A table of n rows.
     *
     * @param table member that holds the table's address
     * @param count member that holds n
     * @param row writes all members of row i, by the names in the row's struct (CG_ROWS)
     */
    ArgWriter rows(String table, String count, int n, IntConsumer row);
}
