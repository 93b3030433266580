// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.function.IntConsumer;

/** Writes the 8-byte members of a kernel's argument struct, in the order of the struct in kernels/. */
public interface ArgWriter {
    /** Address of an element of an input. */
    ArgWriter in(int input, long element);

    /** Address of an element of an output. */
    ArgWriter out(int output, long element);

    /** Address of an input. */
    default ArgWriter in(int input) {
        return in(input, 0);
    }

    /** Address of an output. */
    default ArgWriter out(int output) {
        return out(output, 0);
    }

    /** A null address, for an optional tensor that is absent. */
    ArgWriter none();

    ArgWriter i64(long value);

    ArgWriter f64(double value);

    /** Address of the node's scratch memory, sized by the kernel's scratch function. */
    ArgWriter scratch();

    /** What the kernel's prepare function returned; must be the struct's first member. */
    ArgWriter state();

    /** Address of a table of n rows, then n itself; {@code row} writes one row's members. */
    ArgWriter rows(int n, IntConsumer row);

    /** Address of an optional input: present if {@code input >= 0}. */
    default ArgWriter inOrNone(int input) {
        return input >= 0 ? in(input) : none();
    }
}
