// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;

/**
 * The enums and argument structs of the native library, parsed from its schema text (native/include/cg/abi.h,
 * schema()).
 *
 * @param enums constants of each shared enum, in the order of their numbers
 * @param kernels argument struct of each kernel, in the order of the kernels' numbers
 */
record Schema(Map<String, List<String>> enums, Map<String, ArgStruct> kernels) {

    /**
     * Parses a schema.
     *
     * @param text lines {@code enum NAME CONSTANT ...}, {@code struct NAME MEMBER:TYPE ...}, {@code kernel NAME STRUCT}
     * @throws InputException if a line or type is unknown
     */
    static Schema parse(String text) {
        Map<String, List<String>> enums = new HashMap<>();
        Map<String, ArgStruct> structs = new HashMap<>();
        Map<String, ArgStruct> kernels = new LinkedHashMap<>();
        for (String line : text.lines().toList()) {
            List<String> words = Arrays.asList(line.split(" "));
            String name = words.get(1);
            List<String> rest = words.subList(2, words.size());
            switch (words.get(0)) {
                case "enum" -> enums.put(name, List.copyOf(rest));
                case "struct" -> structs.put(name, struct(name, rest, enums, structs));
                case "kernel" -> kernels.put(name, structs.get(rest.get(0)));
                default -> throw drifted("schema", "the line '" + line + "' is unknown");
            }
        }
        return new Schema(enums, kernels);
    }

    private static ArgStruct struct(
            String name, List<String> members, Map<String, List<String>> enums, Map<String, ArgStruct> structs) {
        Map<String, ArgStruct.Member> all = new LinkedHashMap<>();
        for (String m : members) {
            String[] parts = m.split(":");
            List<String> choices = enums.getOrDefault(parts[1], List.of());
            ArgStruct rows = structs.get(parts[1]);
            ArgStruct.Kind kind = switch (parts[1]) {
                case "const*" -> ArgStruct.Kind.INPUT;
                case "void*" -> ArgStruct.Kind.OUTPUT;
                case "i64" -> ArgStruct.Kind.INTEGER;
                case "f64" -> ArgStruct.Kind.NUMBER;
                default -> {
                    if (rows == null && choices.isEmpty())
                        throw drifted(name, "the type of member '" + m + "' is unknown");
                    yield rows != null ? ArgStruct.Kind.ROWS : ArgStruct.Kind.CHOICE;
                }
            };
            all.put(parts[0], new ArgStruct.Member(parts[0], all.size(), kind, choices, rows));
        }
        return new ArgStruct(name, all);
    }

    /**
     * Checks the constants of an enum and their order.
     *
     * @throws InputException if the library's enum differs
     */
    void requireConstants(String name, Enum<?>[] constants) {
        List<String> javaConstants = Arrays.stream(constants).map(Enum::name).toList();
        if (!javaConstants.equals(enums.get(name)))
            throw drifted(
                    "enum " + name,
                    "it has " + enums.get(name) + " in the native library and " + javaConstants + " in Java");
    }

    /** The exception for a library and a jar of different builds. */
    static InputException drifted(String what, String why) {
        return new InputException(what, why, "Library and jar are of different builds; build or install both together");
    }
}
