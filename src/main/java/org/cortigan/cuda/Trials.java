// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;

import java.nio.ShortBuffer;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.IntFunction;
import java.util.function.IntSupplier;
import java.util.function.Predicate;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.jni.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Runs the algorithms that NVIDIA's libraries offer before a session relies on one. An algorithm that fails when it
 * runs is left out. An error of the GPU itself, after which nothing runs any more, is thrown.
 *
 * <p>Operands are noise: products of zeros take less power, which would rank the algorithms differently. The operands
 * lie in one block of device memory that all trials of a session share.
 */
final class Trials implements AutoCloseable {
    /**
     * An algorithm and its time in nanoseconds; {@link Long#MAX_VALUE} if there was too little memory to measure it.
     */
    record Timed(AlgorithmCache.Entry entry, long nanos) {
        /** Whether the time is a measurement, which is worth storing. */
        boolean measured() {
            return nanos < Long.MAX_VALUE;
        }
    }

    private static final int ROUNDS = 3;
    /** The size of the block is a multiple of this many bytes. */
    private static final long UNIT = 8 << 20;
    /** Bytes of noise that the host sends and the device repeats. 4,099 is prime, so that no matrix has equal rows. */
    private static final int NOISE = 4099 * 256;

    /**
     * Errors after which the process can no longer use the GPU (CUDA Runtime API, cudaError_t); all others concern one
     * call.
     */
    private static final Set<Integer> FATAL = Set.of(
            cudaErrorIllegalAddress,
            cudaErrorLaunchTimeout,
            cudaErrorAssert,
            cudaErrorHardwareStackError,
            cudaErrorIllegalInstruction,
            cudaErrorMisalignedAddress,
            cudaErrorInvalidAddressSpace,
            cudaErrorInvalidPc,
            cudaErrorLaunchFailure,
            cudaErrorECCUncorrectable,
            cudaErrorNvlinkUncorrectable,
            cudaErrorDevicesUnavailable,
            cudaErrorContextIsDestroyed,
            cudaErrorInitializationError,
            cudaErrorCudartUnloading,
            cudaErrorNoDevice,
            cudaErrorUnknown);

    private final CudaRuntime runtime;
    private @Nullable Memory block, noise;
    private long filled;

    Trials(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /**
     * Provides memory for a trial. The operands hold noise that reads as numbers between -1 and 1 in bf16 and in f32.
     *
     * @param scratch bytes of scratch memory
     * @param operands bytes of each operand
     * @return addresses of the operands, then of the scratch memory; valid until the next call
     * @throws OutOfMemoryError if the device has too little memory
     */
    long[] memory(long scratch, long... operands) {
        long[] at = new long[operands.length + 1];
        for (int i = 0; i < operands.length; i++) at[i + 1] = at[i] + CudaRuntime.align(operands[i]);
        long noiseBytes = at[operands.length], all = noiseBytes + scratch;
        if (block == null || block.bytes() < all) {
            release();
            block = runtime.allocate((all + UNIT - 1) / UNIT * UNIT);
        }
        fill(block.address(), noiseBytes);
        for (int i = 0; i < at.length; i++) at[i] += block.address();
        return at;
    }

    private void fill(long at, long bytes) {
        if (noise == null) {
            noise = Memory.allocate(NOISE);
            ShortBuffer b = noise.view(0, NOISE).asShortBuffer();
            SplittableRandom random = new SplittableRandom(1);
            while (b.hasRemaining()) b.put((short) (Float.floatToRawIntBits((float) random.nextDouble(-1, 1)) >>> 16));
        }
        if (filled >= bytes) return;
        filled = Math.min(NOISE, bytes);
        runtime.upload(at, noise.address(), filled);
        for (long n; filled < bytes; filled += n) {
            n = Math.min(filled, bytes - filled);
            runtime.check(
                    cudaMemcpyAsync(
                            CudaRuntime.at(at + filled),
                            CudaRuntime.at(at),
                            n,
                            cudaMemcpyDeviceToDevice,
                            runtime.cudaStream()),
                    "cudaMemcpyAsync on the device");
        }
    }

    /** Frees the block; the next {@link #memory} allocates another. */
    void release() {
        if (block != null) block.close();
        block = null;
        filled = 0;
    }

    /**
     * Runs a library call and waits for it.
     *
     * @param launch returns the library's status, 0 for success
     * @param name returns the name of a status
     * @return why the call failed, null if it ran
     * @throws IllegalStateException if the error concerns the GPU and not only this call
     */
    @Nullable
    String failure(IntSupplier launch, IntFunction<String> name) {
        int status = launch.getAsInt();
        int error = cudaStreamSynchronize(runtime.cudaStream()), left = cudaGetLastError();
        // An error that an earlier call left behind is not a failure of this call.
        if (error == cudaSuccess && (status != 0 || !concernsOneCall(left))) error = left;
        if (!concernsOneCall(error))
            throw new IllegalStateException("cudaStreamSynchronize: " + CudaRuntime.text(error));
        return status != 0 ? name.apply(status) : error != cudaSuccess ? CudaRuntime.text(error) : null;
    }

    /** Whether the error concerns only one call, or is none. */
    private static boolean concernsOneCall(int error) {
        return !FATAL.contains(error);
    }

    /**
     * The fastest of the candidates.
     *
     * @param use selects the candidate that {@code launch} runs; false if the library no longer accepts it
     * @param failures receives the reasons of candidates that fail
     * @return null if none runs
     */
    @Nullable
    Timed fastest(
            List<AlgorithmCache.Entry> candidates,
            Predicate<AlgorithmCache.Entry> use,
            IntSupplier launch,
            IntFunction<String> name,
            Set<String> failures) {
        Timed best = null;
        Set<AlgorithmCache.Entry> failed = new HashSet<>();
        // Two rounds over all candidates, because the GPU's clocks still rise while the first ones are timed.
        for (int k = 0; k < 2 * candidates.size(); k++) {
            AlgorithmCache.Entry e = candidates.get(k % candidates.size());
            if (failed.contains(e) || !use.test(e)) continue;
            String failure = k < candidates.size() ? failure(launch, name) : null;
            if (failure == null) {
                try (DeviceRuntime.Events events = runtime.events(2)) {
                    failure = failure(
                            () -> {
                                int status = 0;
                                events.record(0);
                                for (int i = 0; i < ROUNDS && status == 0; i++) status = launch.getAsInt();
                                events.record(1);
                                return status;
                            },
                            name);
                    long t = failure == null ? events.nanos(0, 1) : Long.MAX_VALUE;
                    if (failure == null && (best == null || t < best.nanos)) best = new Timed(e, t);
                }
            }
            if (failure == null) continue;
            failures.add(failure);
            failed.add(e);
        }
        return best;
    }

    @Override
    public void close() {
        release();
        if (noise != null) noise.close();
    }
}
