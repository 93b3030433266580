// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;

/**
 * A kernel's argument struct, or a row of a table that the kernel reads, as the loaded library has it: named members of
 * 8 bytes each (kernels/kernels.def).
 */
public final class ArgStruct {
    private static final int WORD = 8;

    /** What a member holds. */
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
     * @param index its place among the members
     * @param choices of a {@link Kind#CHOICE} the enum's constants in the order of their numbers, else empty
     * @param rows of {@link Kind#ROWS} the struct of a row, else null
     */
    record Member(String name, int index, Kind kind, List<String> choices, ArgStruct rows) {
        /** Where it begins in the struct, in bytes. */
        int offset() {
            return WORD * index;
        }
    }

    private final String name;
    private final Map<String, Member> members;

    /** @param members in their order, under their names */
    ArgStruct(String name, Map<String, Member> members) {
        this.name = name;
        this.members = Collections.unmodifiableMap(new LinkedHashMap<>(members));
    }

    Map<String, Member> members() {
        return members;
    }

    /** Size of the struct. */
    public int bytes() {
        return WORD * members.size();
    }

    /**
     * Where a member begins, in bytes.
     *
     * @throws InputException if the library's struct has no such member
     */
    public int offset(String member) {
        return member(member).offset();
    }

    /**
     * The rows of a table.
     *
     * @param table the member that has its address
     * @throws InputException if the library's struct has no such table
     */
    public ArgStruct rows(String table) {
        ArgStruct rows = member(table).rows;
        if (rows == null) throw Schema.drifted(name, "the argument '" + table + "' is no table in the native library");
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
