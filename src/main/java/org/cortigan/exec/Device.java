// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Optional;
import org.cortigan.graph.DType;
import org.cortigan.jni.Memory;

/** Where a session runs. */
@SuppressWarnings("exports") // devices and their memory are made inside this module
public interface Device extends AutoCloseable {
    /** For messages and records, for example {@code cpu (avx512, 2 threads)}. */
    String name();

    /**
     * Number of the kernel table (native/include/cg/abi.h, Backend).
     *
     * @throws UnsupportedOperationException if the device computes nothing
     */
    int backend();

    /** The device's memory and its queue of work. */
    DeviceRuntime runtime();

    /** Whether the device has kernels; without them it serves for plans alone. */
    default boolean computes() {
        return true;
    }

    /** Whether kernels compute in double on double storage. */
    default boolean reference() {
        return false;
    }

    /** The type in which tensors of a type are stored: f64 for floating-point tensors of a reference. */
    default DType storedAs(DType t) {
        return reference() && t.isFloat() ? DType.F64 : t;
    }

    /** Bytes of one stored element. */
    default int elementBytes(DType t) {
        return storedAs(t).bytes();
    }

    /** Whether products run on operands of this type. */
    default boolean supports(DType compute) {
        return true;
    }

    /** Whether products run in this precision. */
    default boolean supports(Precision p) {
        return p != Precision.TF32 && supports(p.compute());
    }

    /**
     * This device with its products in that precision. Both share memory and queue; closing this one closes both.
     *
     * @throws IllegalArgumentException if the device does not support it
     */
    default Device with(Precision p) {
        if (!supports(p)) throw new IllegalArgumentException(name() + " has no products in " + p);
        return this;
    }

    /** The architecture of an NVIDIA card; empty for all other devices. */
    default Optional<ComputeCapability> capability() {
        return Optional.empty();
    }

    /** A zeroed block of the device's memory. */
    default Memory allocate(long bytes) {
        return runtime().allocate(bytes);
    }

    /** A zeroed block of the host's memory from which the device is fed. */
    default Memory allocateHost(long bytes) {
        return runtime().allocateHost(bytes);
    }

    /** Gives back what the device holds; sessions and variables on it must be closed before. */
    @Override
    default void close() {}
}
