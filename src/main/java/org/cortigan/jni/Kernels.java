// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
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

    /**
     * The function that computes a kernel's node.
     *
     * @param implementation the implementation's name
     */
    public record Function(String implementation, long address) {}

    /**
     * Names of a kernel's implementations for an element type, in order of preference; empty if the backend lacks the
     * kernel for this type.
     *
     * @param variant column of the kernel table, see {@link org.cortigan.graph.DType#variant}
     */
    public static List<String> implementations(int backend, String kernel, int variant) {
        List<String> names = new ArrayList<>();
        for (String name; (name = Native.kernel_implementation(backend, id(kernel), variant, names.size())) != null; )
            names.add(name);
        return names;
    }

    /**
     * The function of the first implementation that takes the arguments.
     *
     * @param args address of the arguments, which hold their final addresses
     * @param preferred the implementation that is asked before the others, if the kernel has it
     * @throws IllegalStateException if no implementation takes the arguments
     */
    public static Function function(int backend, String kernel, int variant, long args, Optional<String> preferred) {
        List<String> all = implementations(backend, kernel, variant), order = new ArrayList<>(all);
        preferred.filter(all::contains).ifPresent(name -> {
            order.remove(name);
            order.add(0, name);
        });
        for (String name : order) {
            int i = all.indexOf(name);
            if (Native.kernel_takes(backend, id(kernel), variant, i, args))
                return new Function(name, Native.kernel_function(backend, id(kernel), variant, i));
        }
        throw new IllegalStateException(
                all.isEmpty()
                        ? "kernel '" + kernel + "' has no implementation for this element type"
                        : "no implementation of kernel '" + kernel + "' takes these shapes: " + all);
    }

    /**
     * Checks that a kernel of the backend has an implementation of the given name.
     *
     * @throws IllegalArgumentException if none has it; the message lists all names
     */
    public static void requireImplementation(int backend, String name) {
        Set<String> all = new TreeSet<>();
        for (String kernel : numbers.keySet())
            for (Variant v : Variant.values()) all.addAll(implementations(backend, kernel, v.ordinal()));
        if (!all.contains(name))
            throw new IllegalArgumentException("no kernel has an implementation '" + name + "'; there are " + all);
    }

    private static InputException missing(String kernel) {
        return Schema.drifted("kernel '" + kernel + "'", "the native library does not have it");
    }
}
