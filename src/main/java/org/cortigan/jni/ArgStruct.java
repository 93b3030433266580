// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Layout of a kernel's argument struct, or of a row of a table that the kernel reads, as the loaded library declares
 * it: named members of 8 bytes each (kernels/kernels.def).
 */
public final class ArgStruct {
    private static final int WORD = 8;

    /** Kinds of values that a member holds. */
    enum Kind {
        INPUT("the address of an input"),
        OUTPUT("the address of an output"),
        INTEGER("an integer"),
        NUMBER("a floating-point number"),
        CHOICE("a constant of an enum"),
        ROWS("a table of rows");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        String text() {
            return text;
        }
    }

    /**
     * A member.
     *
     * @param index position among the members
     * @param choices constants of the enum in the order of their numbers for {@link Kind#CHOICE}, else empty
     * @param rows struct of a row for {@link Kind#ROWS}, else null
     */
    record Member(
            String name,
            int index,
            Kind kind,
            List<String> choices,
            @Nullable ArgStruct rows) {
        /** Offset in the struct, in bytes. */
        int offset() {
            return WORD * index;
        }
    }

    private final String name;
    private final Map<String, Member> members;

    /** @param members by name, in the order of the struct */
    ArgStruct(String name, Map<String, Member> members) {
        this.name = name;
        this.members = Collections.unmodifiableMap(new LinkedHashMap<>(members));
    }

    Map<String, Member> members() {
        return members;
    }

    /** Size of the struct in bytes. */
    public int bytes() {
        return WORD * members.size();
    }

    /**
     * Offset of a member, in bytes.
     *
     * @throws InputException if the library's struct has no such member
     */
    public int offset(String member) {
        return member(member).offset();
    }

    /**
     * Value of a member: an address, an integer, or the number of a constant.
     *
     * @param args the struct, little-endian
     * @throws InputException if the library's struct has no such member
     */
    public long get(ByteBuffer args, String member) {
        return args.getLong(offset(member));
    }

    /**
     * Layout of a table's rows.
     *
     * @param table member that holds the table's address
     * @throws InputException if the library's struct has no such table
     */
    public ArgStruct rows(String table) {
        ArgStruct rows = member(table).rows;
        if (rows == null)
            throw Schema.drifted(name, "the argument '" + table + "' is not a table in the native library");
        return rows;
    }

    private Member member(String member) {
        Member m = members.get(member);
        if (m == null)
            throw Schema.drifted(
                    name,
                    "the native library has no argument '" + member + "'; it has "
                            + String.join(", ", members.keySet()));
        return m;
    }
}
