// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Element types of npy files that are read. */
public enum NpyType {
    F16("<f2", 2, "e", "half", "float16"),
    F32("<f4", 4, "f", "single", "float32"),
    F64("<f8", 8, "d", "double", "float", "float64"),
    BOOL("|b1", 1, "?", "bool", "bool_"),
    U8("|u1", 1, "B", "ubyte", "uint8"),
    I8("|i1", 1, "b", "byte", "int8"),
    U16("<u2", 2, "H", "ushort", "uint16"),
    I16("<i2", 2, "h", "short", "int16"),
    U32("<u4", 4, "I", "uintc", "uint32"),
    I32("<i4", 4, "i", "intc", "int32"),
    U64("<u8", 8, "Q", "L", "P", "ulonglong", "ulong", "uint", "uintp", "uint64"),
    I64("<i8", 8, "q", "l", "p", "longlong", "long", "int", "int_", "intp", "int64"),
    /** Pickled Python objects, which have no fixed size. Only {@link NumpyPickle} reads them. */
    OBJECT("|O", 0, "O", "object");

    /** By numpy's names without a byte order: codes such as f4, letters such as f, and names such as float32. */
    private static final Map<String, NpyType> BY_NAME = new HashMap<>();

    static {
        for (NpyType t : values()) {
            BY_NAME.put(t.descr.substring(1), t);
            for (String name : t.names) BY_NAME.put(name, t);
        }
    }

    private final String descr;
    private final int bytes;
    private final String[] names;

    /** @param names numpy's other names on Linux, where a C long has 8 bytes */
    NpyType(String descr, int bytes, String... names) {
        this.descr = descr;
        this.bytes = bytes;
        this.names = names;
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

    /** Whether this type has numbers that a conversion to float rounds or loses. */
    boolean exceedsFloat() {
        return this == F64 || isInteger() && bytes > 2;
    }

    /** Whether this is an integer or boolean type, as ROI masks use. */
    public boolean isInteger() {
        return !isFloat() && this != OBJECT;
    }

    /** The type of a descr string without its byte order; null if unsupported. */
    static @Nullable NpyType of(String descr) {
        boolean ordered = !descr.isEmpty() && "<>=|".indexOf(descr.charAt(0)) >= 0;
        // As in numpy, a byte order may precede a code or a letter, but not a name.
        return ordered && descr.length() > 3 ? null : BY_NAME.get(ordered ? descr.substring(1) : descr);
    }
}
