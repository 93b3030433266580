// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

/** Element types. The reference device stores every floating-point type as double, all other devices as named. */
public enum DType {
    F32(4, 1),
    BF16(2, 2),
    /**
     * Storage only: sums over a whole data set that an op keeps in a variable. No tensor that flows between ops is f64.
     */
    F64(8, -1),
    I32(4, -1),
    U8(1, -1),
    /** {@link Fp8#E4M3}: operands of products only. */
    F8E4M3(1, -1),
    /** {@link Fp8#E5M2}: operands of products only. */
    F8E5M2(1, -1);

    private final int bytes;
    private final int variant;

    DType(int bytes, int variant) {
        this.bytes = bytes;
        this.variant = variant;
    }

    /** Size of one element in bytes on every device except the reference device. */
    public int bytes() {
        return bytes;
    }

    /** Whether the kernel tables have a column for this type. */
    public boolean isFloat() {
        return variant >= 0;
    }

    /** Whether this is one of the two formats of FP8. */
    public boolean isFp8() {
        return this == F8E4M3 || this == F8E5M2;
    }

    /**
     * Column of this type in a kernel table (native/include/cg/abi.h, Variant).
     *
     * @throws IllegalStateException if kernels have no column for the type
     */
    public int variant() {
        if (variant < 0) throw new IllegalStateException(this + " has no kernel variant");
        return variant;
    }
}
