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

/**
 * Runs the candidates of NVIDIA's libraries before a session relies on one. A library may offer an algorithm that fails
 * when it runs: that one is left out. An error of the card itself, after which nothing runs any more, is thrown.
 *
 * <p>Operands are noise, since products of zeros take less power and so rank differently. They lie in one block of the
 * device's memory, which a session's whole preparation shares.
 */
final class Trials implements AutoCloseable {
    /** A time in nanoseconds; {@link Long#MAX_VALUE} where there was too little memory to measure. */
    record Timed(AlgorithmCache.Entry entry, long nanos) {
        /** Whether it is worth keeping. */
        boolean measured() {
            return nanos < Long.MAX_VALUE;
        }
    }

    private static final int ROUNDS = 3;
    /** The block grows by so many bytes. */
    private static final long UNIT = 8 << 20;
    /** Bytes of noise that the host sends. 4,099 is prime, so that no matrix has equal rows. */
    private static final int NOISE = 4099 * 256;

    /**
     * Errors after which the process has no card any more (CUDA Runtime API, cudaError_t); all others concern one call.
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

    private final CudaRuntime r;
    private Memory block, noise;
    private long filled;

    Trials(CudaRuntime r) {
        this.r = r;
    }

    /**
     * Addresses of so many bytes each, of noise between -1 and 1 in bf16 as in f32, then of scratch memory; valid until
     * the next call.
     *
     * @throws OutOfMemoryError if the device has not so much
     */
    long[] room(long scratch, long... operands) {
        long[] at = new long[operands.length + 1];
        for (int i = 0; i < operands.length; i++) at[i + 1] = at[i] + CudaRuntime.align(operands[i]);
        long noise = at[operands.length], all = noise + scratch;
        if (block == null || block.bytes() < all) {
            release();
            block = r.allocate((all + UNIT - 1) / UNIT * UNIT);
        }
        fill(noise);
        for (int i = 0; i < at.length; i++) at[i] += block.address();
        return at;
    }

    private void fill(long bytes) {
        if (noise == null) {
            noise = Memory.allocate(NOISE);
            ShortBuffer b = noise.view(0, NOISE).asShortBuffer();
            SplittableRandom random = new SplittableRandom(1);
            while (b.hasRemaining()) b.put((short) (Float.floatToRawIntBits((float) random.nextDouble(-1, 1)) >>> 16));
        }
        if (filled >= bytes) return;
        long at = block.address();
        filled = Math.min(NOISE, bytes);
        r.upload(at, noise.address(), filled);
        for (long n; filled < bytes; filled += n) {
            n = Math.min(filled, bytes - filled);
            r.check(
                    cudaMemcpyAsync(
                            CudaRuntime.at(at + filled),
                            CudaRuntime.at(at),
                            n,
                            cudaMemcpyDeviceToDevice,
                            r.cudaStream()),
                    "cudaMemcpyAsync on the device");
        }
    }

    /** Gives the block back; the next {@link #room} takes another. */
    void release() {
        if (block != null) block.close();
        block = null;
        filled = 0;
    }

    /**
     * @param launch gives the library's status, 0 for success
     * @param name of a status
     * @return why the call failed, null if it ran
     * @throws IllegalStateException for an error of the card, not of this call alone
     */
    String failure(IntSupplier launch, IntFunction<String> name) {
        int status = launch.getAsInt();
        int error = cudaStreamSynchronize(r.cudaStream()), left = cudaGetLastError();
        // What an earlier call left behind is no failure of this one.
        if (error == cudaSuccess && (status != 0 || !passes(left))) error = left;
        if (!passes(error)) throw new IllegalStateException("cudaStreamSynchronize: " + CudaRuntime.text(error));
        return status != 0 ? name.apply(status) : error != cudaSuccess ? CudaRuntime.text(error) : null;
    }

    /** Whether it concerns one call alone. */
    private static boolean passes(int error) {
        return !FATAL.contains(error);
    }

    /**
     * The fastest of the candidates.
     *
     * @param use makes {@code launch} that candidate's; false if the library no longer agrees
     * @param failures takes the reasons of those that fail
     * @return null if none runs
     */
    Timed fastest(
            List<AlgorithmCache.Entry> candidates,
            Predicate<AlgorithmCache.Entry> use,
            IntSupplier launch,
            IntFunction<String> name,
            Set<String> failures) {
        Timed best = null;
        Set<AlgorithmCache.Entry> failed = new HashSet<>();
        // Twice through all: the first ones would otherwise be timed while the card's clocks still rise.
        for (int k = 0; k < 2 * candidates.size(); k++) {
            AlgorithmCache.Entry e = candidates.get(k % candidates.size());
            if (failed.contains(e) || !use.test(e)) continue;
            String failure = k < candidates.size() ? failure(launch, name) : null;
            if (failure == null) {
                try (DeviceRuntime.Events events = r.events(2)) {
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
