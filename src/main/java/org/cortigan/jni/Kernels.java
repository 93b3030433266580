// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.util.HashMap;
import java.util.Map;
import org.cortigan.InputException;

/** The kernel table of the loaded library, by name (kernels/kernels.def). */
public final class Kernels {
    /** Numbers of the backends (native/include/cg/abi.h). */
    public static final int REF = 0, PORTABLE = 1, AVX2 = 2, AVX512 = 3, CUDA = 4, SIM = 5;

    private static Map<String, Integer> ids = Map.of();

    private Kernels() {}

    static void check() {
        Map<String, Integer> m = new HashMap<>();
        for (int i = 0; i < Native.kernel_count(); i++) m.put(Native.kernel_name(i), i);
        ids = Map.copyOf(m);
    }

    /** Number of the kernel of that name. */
    public static int id(String name) {
        Integer id = ids.get(name);
        if (id == null)
            throw new InputException(
                    "kernel '" + name + "'",
                    "the native library does not have it",
                    "Library and jar are of different builds");
        return id;
    }

    /** Refuses a struct whose size differs from what Java is about to write. */
    public static void checkArgs(String name, long bytes) {
        long lib = Native.kernel_args_bytes(id(name));
        if (lib != bytes)
            throw new InputException(
                    "kernel '" + name + "'",
                    "its arguments take " + lib + " bytes in the library and " + bytes + " in Java",
                    "Library and jar are of different builds");
    }
}
