// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;

/**
 * The native methods of the engine, which take raw addresses (native/include/cg/api.h). A new op needs no new method. A
 * C++ exception becomes a {@link RuntimeException} with the native message. Call {@link NativeLoader#load()} first.
 */
@Properties(inherit = NativeConfig.class)
@Platform
@Namespace("cg")
public final class Native {
    private Native() {}

    /** Number of kernels in every backend's table. */
    public static native int kernel_count();

    /** Schema of the library as text; {@link Schema#parse} describes its lines. */
    public static native String kernel_schema();

    /** Loads the separate library of a backend (CUDA, SIM). Throws if the schemas of the two libraries differ. */
    public static native void load_backend(int backend, String path);

    /** Address of a kernel function, 0 if the backend lacks the variant. */
    public static native long kernel_function(int backend, int kernel, int variant);

    /** Calls a kernel function with its argument struct. */
    public static native void launch(long function, long args, long stream);

    /**
     * Begins a named range in the backend's profiler; an empty name ends the range. Does nothing without a profiler.
     */
    public static native void range(int backend, String name);

    /** Selects the variant {@code which} of a kernel for all later launches and recordings in this process. */
    public static native void choose(int backend, String what, String which);

    /** State that a kernel prepares once for its arguments; free it with {@link #kernel_release}. */
    public static native long kernel_prepare(int backend, int kernel, long args);

    public static native void kernel_release(int backend, int kernel, long state);

    /** Scratch memory that a kernel needs for its arguments, in bytes. */
    public static native long kernel_scratch(int backend, int kernel, long args);

    /** Number of the best vector backend on this CPU: PORTABLE, AVX2 or AVX512. */
    public static native int cpu_best_backend();

    public static native String cpu_features();

    public static native String library_versions();

    /** Sets the number of OpenMP threads for kernels that the calling thread launches. */
    public static native void set_threads(int n);

    public static native long alloc(long bytes);

    public static native void release(long address);

    public static native void copy(long dst, long src, long bytes);

    public static native void fill(long dst, int value, long bytes);
}
