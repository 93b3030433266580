// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.graph.DType;
import org.cortigan.mem.Memory;

/** Where a session runs. */
public interface Device extends AutoCloseable {
    /** For messages and records, for example {@code cpu (avx512, 2 threads)}. */
    String name();

    /** Bytes of one stored element. */
    int elementBytes(DType t);

    /** Number of the kernel table (native/include/cg/abi.h, Backend), or -1 if nothing is to run. */
    int backend();

    /** Threads for kernels. */
    int threads();

    /** Whether kernels compute in double on double storage. */
    default boolean reference() {
        return false;
    }

    /** Whether products run in this type. */
    default boolean supports(DType compute) {
        return true;
    }

    /** This device with products of f32 in TF32 (10 bits of mantissa), or null if it has none. */
    default Device tf32() {
        return null;
    }

    /** Memory and stream of a device that has its own, null where tensors lie in the processor's memory. */
    default DeviceRuntime runtime() {
        return null;
    }

    /** A zeroed block of the device's memory. */
    default Memory allocate(long bytes) {
        return runtime() == null ? Memory.allocate(bytes) : runtime().allocate(bytes);
    }

    /** A zeroed block from which the device is fed. */
    default Memory allocateHost(long bytes) {
        return runtime() == null ? Memory.allocate(bytes) : runtime().allocateHost(bytes);
    }

    /** Gives back what the device holds; sessions and variables on it must be closed before. */
    @Override
    default void close() {}
}
