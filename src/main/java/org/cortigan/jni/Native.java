// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;

/**
 * The few native methods of the engine, with raw addresses (native/include/cg/api.h). A new op adds none. C++
 * exceptions arrive as {@link RuntimeException} with the native message. Call {@link NativeLoader#load()} first.
 */
@Properties(inherit = NativeConfig.class)
@Platform
@Namespace("cg")
public final class Native {
    private Native() {}

    public static native int kernel_count();

    public static native String kernel_schema();

    public static native void load_backend(int backend, String path);

    public static native long kernel_function(int backend, int kernel, int variant);

    public static native void launch(long function, long args, long stream);

    public static native void range(int backend, String name);

    /** Takes one of a kernel's variants for everything launched or recorded from now on in this process. */
    public static native void choose(int backend, String what, String which);

    public static native long kernel_prepare(int backend, int kernel, long args);

    public static native void kernel_release(int backend, int kernel, long state);

    public static native long kernel_scratch(int backend, int kernel, long args);

    public static native int cpu_best_backend();

    public static native String cpu_features();

    public static native String library_versions();

    public static native void set_threads(int n);

    public static native long alloc(long bytes);

    public static native void release(long address);

    public static native void copy(long dst, long src, long bytes);

    public static native void fill(long dst, int value, long bytes);
}
