// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;
import org.cortigan.InputException;

/**
 * The calls of MPI (native/include/cg/mpi.h), in a library of their own. One thread makes all of them but
 * {@link #abort}. A C++ exception becomes a {@link RuntimeException} with the native message. Call {@link #load()}
 * first.
 */
@Platform(value = "linux-x86_64", compiler = "cpp17", include = "cg/mpi.h")
@Namespace("cg::mpi")
public final class Mpi {
    private Mpi() {}

    /**
     * Loads the library.
     *
     * @throws InputException with the whole cause chain, if it cannot be loaded
     */
    public static void load() {
        try {
            Loader.load(Mpi.class);
        } catch (Throwable t) {
            throw NativeLoader.failed("binding of MPI", t, "Use a jar that ./mvnw verify has built");
        }
    }

    /** Opens Open MPI and joins the run. Throws if Open MPI is missing, or another MPI has its place. */
    public static native void start();

    /** Number of this rank, from 0 on. */
    public static native int rank();

    /** Number of ranks. */
    public static native int size();

    /**
     * Sends bytes to every other rank and receives bytes from each. All arrays have an element for each rank; that of
     * this rank is not read.
     *
     * @param sendFrom for each rank the address of what it gets
     * @param receiveTo for each rank the address of what comes from it
     */
    public static native void exchange(
            @Cast("const int64_t*") long[] sendFrom,
            @Cast("const int64_t*") long[] sendBytes,
            @Cast("const int64_t*") long[] receiveTo,
            @Cast("const int64_t*") long[] receiveBytes);

    /** Leaves the run; every rank must. */
    public static native void finish();

    /** Ends all ranks at once, each with this exit code. */
    public static native void abort(int code);
}
