// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import org.jspecify.annotations.Nullable;

/** Supported element types of npy files; multi-byte types are little-endian. */
public enum NpyType {
    F16("<f2", 2),
    F32("<f4", 4),
    F64("<f8", 8),
    BOOL("|b1", 1),
    U8("|u1", 1),
    I8("|i1", 1),
    U16("<u2", 2),
    I16("<i2", 2),
    U32("<u4", 4),
    I32("<i4", 4),
    U64("<u8", 8),
    I64("<i8", 8),
    /** Pickled Python objects, which have no fixed size. Only {@link NumpyPickle} reads them. */
    OBJECT("|O", 0);

    private final String descr;
    private final int bytes;

    NpyType(String descr, int bytes) {
        this.descr = descr;
        this.bytes = bytes;
    }

    /** The type string of numpy, for example {@code <f4}. */
    public String descr() {
        return descr;
    }

    /** Bytes of one element; 0 for {@link #OBJECT}. */
    public int bytes() {
        return bytes;
    }

    /** Whether this is a floating-point type. */
    public boolean isFloat() {
        return this == F16 || this == F32 || this == F64;
    }

    /** Whether this is an integer or boolean type, as ROI masks use. */
    public boolean isInteger() {
        return !isFloat() && this != OBJECT;
    }

    /** The type of a descr string; null if unsupported, which includes big-endian types. */
    static @Nullable NpyType of(String descr) {
        for (NpyType t : values()) {
            if (t.descr.equals(descr)
                    || t.bytes == 1
                            && descr.length() == 3
                            && "<>=".indexOf(descr.charAt(0)) >= 0
                            && t.descr.endsWith(descr.substring(1))) {
                return t;
            }
        }
        return null;
    }
}
