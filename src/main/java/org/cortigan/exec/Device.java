// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Optional;
import java.util.function.BiFunction;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.jni.Memory;

/** A device that sessions run on. */
@SuppressWarnings("exports") // devices and their memory are made inside this module
public interface Device extends AutoCloseable {
    /** For messages and records, for example {@code cpu (avx512, 2 threads)}. */
    String name();

    /** What kind of device it is, for example {@code cuda}: the word that its name begins with. */
    default String kind() {
        return name().split("[: ]", 2)[0];
    }

    /**
     * Number of the kernel table (native/include/cg/abi.h, Backend).
     *
     * @throws UnsupportedOperationException if the device computes nothing
     */
    int backend();

    /**
     * This device as that of one rank of a run: another one, or this one from now on. The graphs that it runs may then
     * add up tensors over the ranks.
     *
     * @throws InputException if the device cannot
     */
    default Device in(Ranks ranks) {
        if (ranks.size() == 1) return this;
        throw new InputException("device " + name(), "cannot train with other ranks", "Use --device cpu");
    }

    /** The device's memory and its stream of work. */
    DeviceRuntime runtime();

    /** Name of the implementation that every kernel which has it asks first. */
    default Optional<String> preferred() {
        return Optional.empty();
    }

    /**
     * This device with another preference: every kernel that has an implementation of the given name asks it first. The
     * returned device shares memory and stream with this one, as {@link #with} says.
     *
     * @throws IllegalArgumentException if no kernel of this device has the implementation
     */
    default Device preferring(String implementation) {
        throw new IllegalArgumentException(
                name() + " has one implementation of every kernel, so none to prefer: '" + implementation + "'");
    }

    /** Whether the device has kernels; a device without kernels only plans. */
    default boolean computes() {
        return true;
    }

    /** Whether kernels compute in double precision on f64 storage. */
    default boolean reference() {
        return false;
    }

    /**
     * Element type in memory of a tensor of type t: f64 for floating-point types on a reference device, otherwise t.
     */
    default DType storedAs(DType t) {
        return reference() && (t.isFloat() || t.isFp8()) ? DType.F64 : t;
    }

    /** Bytes of one stored element. */
    default int elementBytes(DType t) {
        return storedAs(t).bytes();
    }

    /** Whether matrix products and convolutions run on operands of this type. */
    default boolean supports(DType compute) {
        return true;
    }

    /** Whether matrix products and convolutions run in this precision. */
    default boolean supports(Precision p) {
        return p != Precision.TF32 && p != Precision.FP8 && supports(p.compute());
    }

    /** Element type of the operands of products and convolutions in a precision that this device supports. */
    default DType compute(Precision p) {
        return p.compute();
    }

    /**
     * This device with matrix products and convolutions in precision {@code p}. The returned device shares memory and
     * stream with this one. Close the device that was opened; closing another view of it does nothing.
     *
     * @throws IllegalArgumentException if the device does not support the precision
     */
    default Device with(Precision p) {
        if (!supports(p)) throw new IllegalArgumentException(name() + " has no products in " + p);
        return this;
    }

    /**
     * The same for a precision that a user chose.
     *
     * @param wrong the error of a problem and its remedy
     * @throws InputException if the device does not support the precision
     */
    default Device with(Precision p, BiFunction<String, String, InputException> wrong) {
        if (supports(p)) return with(p);
        throw switch (p) {
            case TF32 -> wrong.apply("tf32 needs an NVIDIA GPU, the device is " + name(), "Use fp32 or bf16");
            case FP8 ->
                wrong.apply(
                        "fp8 needs an NVIDIA GPU of architecture 8.9 or newer, the device is " + name(),
                        "Use bf16 or fp32");
            default -> wrong.apply("bf16 needs a CPU with avx512bf16", "Use fp32");
        };
    }

    /** The compute capability of an NVIDIA GPU; empty for all other devices. */
    default Optional<ComputeCapability> capability() {
        return Optional.empty();
    }

    /** A zeroed block of the device's memory. */
    default Memory allocate(long bytes) {
        return runtime().allocate(bytes);
    }

    /** A zeroed block of host memory that inputs are uploaded from. */
    default Memory allocateHost(long bytes) {
        return runtime().allocateHost(bytes);
    }

    /** Releases the device's memory and handles. Close its sessions and variables first. */
    @Override
    default void close() {}
}
