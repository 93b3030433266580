// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

/** Element types. The reference device stores every floating type as double; all others store them as named. */
public enum DType {
    F32(4, 1),
    BF16(2, 2),
    /**
     * For sums over a whole data set that an op keeps in a variable; nothing is computed from one node to the next in
     * it.
     */
    F64(8, -1),
    I32(4, -1),
    U8(1, -1);

    private final int bytes;
    private final int variant;

    DType(int bytes, int variant) {
        this.bytes = bytes;
        this.variant = variant;
    }

    /** Size of one element in bytes on every device but the reference. */
    public int bytes() {
        return bytes;
    }

    /** Whether kernels have a column for it. */
    public boolean isFloat() {
        return variant >= 0;
    }

    /** Column of a kernel table (native/include/cg/abi.h, Variant). */
    public int variant() {
        if (variant < 0) throw new IllegalStateException(this + " has no kernel variant");
        return variant;
    }
}
