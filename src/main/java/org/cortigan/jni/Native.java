// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.jspecify.annotations.Nullable;

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

    /** Name of a kernel's i-th implementation in order of preference; null if there are only i of them. */
    static native @Nullable String kernel_implementation(int backend, int kernel, int variant, int i);

    /** Whether the i-th implementation computes the arguments, which have their final addresses. */
    static native boolean kernel_takes(int backend, int kernel, int variant, int i, long args);

    /** Address of the function of a kernel's i-th implementation. */
    static native long kernel_function(int backend, int kernel, int variant, int i);

    /** Calls a kernel function with its argument struct. */
    public static native void launch(long function, long args, long stream);

    /**
     * Begins a named range in the backend's profiler; an empty name ends the range. Does nothing without a profiler.
     */
    public static native void range(int backend, String name);

    /** Changes a setting of the simulation (native/sim/launches.h); other backends have none. */
    public static native void set(int backend, String setting, String value);

    /** State that a kernel prepares once for its arguments; free it with {@link #kernel_release}. */
    public static native long kernel_prepare(int backend, int kernel, long args);

    public static native void kernel_release(int backend, int kernel, long state);

    /** Scratch memory that a kernel needs for its arguments, in bytes. */
    public static native long kernel_scratch(int backend, int kernel, long args);

    /** Number of the best vector backend on this CPU: PORTABLE, AVX2 or AVX512. */
    public static native int cpu_best_backend();

    public static native String cpu_features();

    public static native String library_versions();

    /** Sets the number of threads for kernels that the calling thread launches. */
    public static native void set_threads(int n);

    public static native long alloc(long bytes);

    public static native void release(long address);

    public static native void copy(long dst, long src, long bytes);

    public static native void fill(long dst, int value, long bytes);

    /**
     * out[i] = scale * sum over r of parts[r][i], for n floats, or doubles if {@code wide}. Adds in order, in double.
     *
     * @param parts addresses, of which one may be {@code out}
     */
    public static native void add_parts(
            long out, @Cast("const int64_t*") long[] parts, int count, long n, boolean wide, double scale);
}
