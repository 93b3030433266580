// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;

import java.nio.ByteBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.IntFunction;
import java.util.function.IntSupplier;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.jni.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Runs the algorithms that NVIDIA's libraries offer before a session relies on one. An algorithm that fails when it
 * runs is left out. An error of the GPU itself, after which nothing runs any more, is thrown.
 *
 * <p>Operands are noise: products of zeros take less power, which would rank the algorithms differently. A launch does
 * not find its operands in the L2 cache, as most launches of a step do not: several sets of operands take turns. They
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
    /** The sets of operands take together this many times the L2 cache, unless that needs more sets than MOST_SETS. */
    private static final int CACHES = 2, MOST_SETS = 64;
    /**
     * Nanoseconds of measurements after which a problem gets no further one. 32 algorithms of 0.2 ms take 45 ms in all;
     * only slow problems, in f32, reach the limit. The heuristic's best candidates come first.
     */
    private static final long LIMIT = 60_000_000;

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
    private final long cacheBytes;
    private @Nullable Memory block, noise;

    /** @param cacheBytes size of the GPU's L2 cache */
    Trials(CudaRuntime runtime, long cacheBytes) {
        this.runtime = runtime;
        this.cacheBytes = cacheBytes;
    }

    /**
     * Provides memory for a trial. The operands hold noise that reads as numbers between -1 and 1 in bf16 and in f32.
     *
     * @param scratch bytes of scratch memory
     * @param operands bytes of each operand
     * @return addresses of the operands, then of the scratch memory; valid until the next call of this or {@link #sets}
     * @throws OutOfMemoryError if the device has too little memory
     */
    long[] memory(long scratch, long... operands) {
        return memory(1, scratch, operands).get(0);
    }

    /** Like {@link #memory}, but sets of operands that take turns, or one if the device has no memory for more. */
    List<long[]> sets(long scratch, long... operands) {
        long bytes = 0;
        for (long b : operands) bytes += CudaRuntime.align(b);
        int sets = (int) Math.min(MOST_SETS, (CACHES * cacheBytes + bytes - 1) / bytes);
        if (sets <= 1) return memory(1, scratch, operands);
        try {
            return memory(sets, scratch, operands);
        } catch (OutOfMemoryError e) {
            return memory(1, scratch, operands);
        }
    }

    private List<long[]> memory(int sets, long scratch, long... operands) {
        long[] offset = new long[operands.length + 1];
        for (int i = 0; i < operands.length; i++) offset[i + 1] = offset[i] + CudaRuntime.align(operands[i]);
        long setBytes = offset[operands.length], all = sets * setBytes + scratch;
        if (block == null || block.bytes() < all) {
            release();
            block = runtime.allocate((all + UNIT - 1) / UNIT * UNIT);
        }
        long begin = block.address();
        fill(begin, sets * setBytes);
        List<long[]> at = new ArrayList<>();
        for (int s = 0; s < sets; s++) {
            long[] a = offset.clone();
            for (int i = 0; i < operands.length; i++) a[i] += begin + s * setBytes;
            a[operands.length] = begin + sets * setBytes;
            at.add(a);
        }
        return at;
    }

    /** A launch that takes the next of the arguments each time. */
    static IntSupplier inTurn(List<ByteBuffer> args, ToIntFunction<ByteBuffer> launch) {
        int[] next = {0};
        return () -> launch.applyAsInt(args.get(next[0]++ % args.size()));
    }

    /** Earlier trials have left results and workspaces here. */
    private void fill(long at, long bytes) {
        if (noise == null) {
            noise = Memory.allocate(NOISE);
            ShortBuffer b = noise.view(0, NOISE).asShortBuffer();
            SplittableRandom random = new SplittableRandom(1);
            while (b.hasRemaining()) b.put((short) (Float.floatToRawIntBits((float) random.nextDouble(-1, 1)) >>> 16));
        }
        long filled = Math.min(NOISE, bytes);
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
        long spent = 0;
        Set<AlgorithmCache.Entry> failed = new HashSet<>();
        // Two rounds over all candidates, because the GPU's clocks still rise while the first ones are timed.
        for (int k = 0; k < 2 * candidates.size() && spent < LIMIT; k++) {
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
                    long t = failure == null ? events.nanos(0, 1) : 0;
                    if (failure == null && (best == null || t < best.nanos)) best = new Timed(e, t);
                    spent += t;
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
