// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.util.HashMap;
import java.util.Map;
import org.cortigan.InputException;

/** Kernels of the loaded library and their argument structs, by name (kernels/kernels.def). */
public final class Kernels {
    private static Schema schema = new Schema(Map.of(), Map.of());
    private static Map<String, Integer> numbers = Map.of();

    private Kernels() {}

    /** Columns of a kernel table (native/include/cg/abi.h, Variant). */
    enum Variant {
        F64,
        F32,
        BF16
    }

    /**
     * Reads the schema of the library.
     *
     * @throws InputException if its backends or types differ from those in Java
     */
    static void check() {
        Schema s = Schema.parse(Native.kernel_schema());
        s.requireConstants("Backend", Backend.values());
        s.requireConstants("Variant", Variant.values());
        Map<String, Integer> all = new HashMap<>();
        for (String kernel : s.kernels().keySet()) all.put(kernel, all.size());
        numbers = Map.copyOf(all);
        schema = s;
    }

    /**
     * Number of a kernel in {@link Native}.
     *
     * @throws InputException if the library does not have it
     */
    public static int id(String name) {
        Integer id = numbers.get(name);
        if (id == null) throw missing(name);
        return id;
    }

    /**
     * Argument struct of a kernel.
     *
     * @throws InputException if the library does not have it
     */
    public static ArgStruct args(String name) {
        ArgStruct args = schema.kernels().get(name);
        if (args == null) throw missing(name);
        return args;
    }

    private static InputException missing(String kernel) {
        return Schema.drifted("kernel '" + kernel + "'", "the native library does not have it");
    }
}
