// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.IntConsumer;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.jni.ArgStruct.Kind;
import org.cortigan.jni.ArgStruct.Member;
import org.jspecify.annotations.Nullable;

/**
 * Writes a kernel's arguments by name: the struct, followed by its tables of rows. The caller must write each member
 * once, as the kind of value that the library declares.
 *
 * <p>An unknown member or another kind throws {@link InputException}, since library and jar are then of different
 * builds. A member that is written twice or not at all throws {@link IllegalStateException}.
 */
public final class ArgBuffer {
    private final @Nullable ByteBuffer buffer;
    private final long base;
    private Frame frame;
    private int bytes;

    /**
     * Begins the arguments of a kernel.
     *
     * @param buffer receives the struct at index 0 and then the tables; null to count bytes only
     * @param base address of the buffer's first byte
     * @throws InputException if the library does not have the kernel
     */
    public ArgBuffer(String kernel, @Nullable ByteBuffer buffer, long base) {
        this.buffer = buffer;
        this.base = base;
        frame = new Frame("kernel '" + kernel + "'", Kernels.args(kernel), 0);
        bytes = frame.struct.bytes();
    }

    /** Bytes of the struct and of the tables written so far. */
    public int bytes() {
        return bytes;
    }

    /** Address of memory that the kernel reads or updates. */
    public ArgBuffer input(String member, long address) {
        return put(frame.claim(member, Kind.INPUT, Kind.OUTPUT), address);
    }

    /** Address of memory that the kernel writes. */
    public ArgBuffer output(String member, long address) {
        return put(frame.claim(member, Kind.OUTPUT), address);
    }

    /** A null address, for an optional tensor that is absent. */
    public ArgBuffer none(String member) {
        return put(frame.claim(member, Kind.INPUT, Kind.OUTPUT), 0);
    }

    /** An integer. */
    public ArgBuffer i64(String member, long value) {
        return put(frame.claim(member, Kind.INTEGER), value);
    }

    /** A floating-point number. */
    public ArgBuffer f64(String member, double value) {
        return put(frame.claim(member, Kind.NUMBER), Double.doubleToRawLongBits(value));
    }

    /** An integer that is 1 or 0. */
    public ArgBuffer flag(String member, boolean value) {
        return i64(member, value ? 1 : 0);
    }

    /** A constant of a Java enum. The enum must have the same constants as the library's enum, in any order. */
    public ArgBuffer choice(String member, Enum<?> value) {
        Member m = frame.claim(member, Kind.CHOICE);
        Set<String> javaConstants = Arrays.stream(value.getDeclaringClass().getEnumConstants())
                .map(Enum::name)
                .collect(Collectors.toSet());
        if (!javaConstants.equals(Set.copyOf(m.choices()))) throw notAmong(m, javaConstants.toString());
        return put(m, m.choices().indexOf(value.name()));
    }

    /** A constant of the library's enum, by name. */
    public ArgBuffer choice(String member, String constant) {
        Member m = frame.claim(member, Kind.CHOICE);
        if (!m.choices().contains(constant)) throw notAmong(m, constant);
        return put(m, m.choices().indexOf(constant));
    }

    private InputException notAmong(Member m, String javaConstants) {
        return Schema.drifted(
                frame.where,
                "the argument '" + m.name() + "' takes " + m.choices() + " in the native library and " + javaConstants
                        + " in Java");
    }

    /**
     * A table of n rows.
     *
     * @param table member that holds the table's address
     * @param count member that holds n
     * @param row writes all members of row i, by the names in the row's struct
     */
    public ArgBuffer rows(String table, String count, int n, IntConsumer row) {
        Member m = frame.claim(table, Kind.ROWS);
        ArgStruct struct = frame.struct.rows(table);
        Frame outer = frame;
        int begin = bytes;
        bytes += n * struct.bytes();
        put(m, base + begin);
        i64(count, n);
        for (int i = 0; i < n; i++) {
            String where = outer.where + ", row " + i + " of '" + table + "'";
            frame = new Frame(where, struct, begin + i * struct.bytes());
            row.accept(i);
            frame.requireAll();
        }
        frame = outer;
        return this;
    }

    /**
     * Checks that every member is written.
     *
     * @throws IllegalStateException if one is not
     */
    public void finish() {
        frame.requireAll();
    }

    private ArgBuffer put(Member m, long word) {
        if (buffer != null) buffer.putLong(frame.begin + m.offset(), word);
        return this;
    }

    /** The struct or row under construction. */
    private static final class Frame {
        private final String where;
        private final ArgStruct struct;
        private final int begin;
        private final boolean[] written;

        Frame(String where, ArgStruct struct, int begin) {
            this.where = where;
            this.struct = struct;
            this.begin = begin;
            written = new boolean[struct.members().size()];
        }

        Member claim(String name, Kind... kinds) {
            Member m = struct.members().get(name);
            if (m == null)
                throw Schema.drifted(
                        where,
                        "the native library has no argument '" + name + "'; it has "
                                + String.join(", ", struct.members().keySet()));
            if (!List.of(kinds).contains(m.kind()))
                throw Schema.drifted(
                        where, "the argument '" + name + "' is " + m.kind().text() + " in the native library");
            if (written[m.index()])
                throw new IllegalStateException(where + ": the argument '" + name + "' is written twice");
            written[m.index()] = true;
            return m;
        }

        void requireAll() {
            for (Member m : struct.members().values())
                if (!written[m.index()])
                    throw new IllegalStateException(where + ": the argument '" + m.name() + "' is not written");
        }
    }
}
