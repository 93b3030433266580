// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.Optional;
import org.cortigan.jni.Memory;

/**
 * A device's memory and its stream of work. The stream executes everything in the order of the calls; only uploads into
 * a {@link PrefetchBuffer} and work {@link #aside} run in parallel. Only {@link #synchronize()} and
 * {@link Events#await} wait for the stream. A runtime serves one thread at a time; another thread must call
 * {@link #use()} first.
 */
@SuppressWarnings("exports") // devices and their memory are made inside this module
public interface DeviceRuntime {
    /** Whether tensors lie in memory that the host cannot access. */
    boolean hasOwnMemory();

    /** Whether calls only queue work, whose results are valid after {@link #synchronize()}. */
    boolean isAsynchronous();

    /** A zeroed block of the device's memory. */
    Memory allocate(long bytes);

    /** A zeroed block of host memory that the device can copy asynchronously; pinned on a GPU. */
    Memory allocateHost(long bytes);

    /** Size of {@link #staging()} in bytes. */
    long STAGING = 4 << 20;

    /**
     * A block of {@link #allocateHost}, {@value #STAGING} bytes long, through which contents pass to and from the
     * device. The first call allocates it. The runtime keeps it, because allocating such memory takes longer than
     * copying a few megabytes.
     */
    Memory staging();

    /** The processes that compute the same step as this one, each on its part of the batch. */
    default Ranks ranks() {
        return Ranks.alone();
    }

    /**
     * Prepares the device for reductions over the ranks. All ranks must call it at the same point, before the first run
     * of a graph that reduces.
     *
     * @throws org.cortigan.InputException on all ranks, if their devices cannot reduce together
     */
    default void meet() {}

    /** Makes this device current for the calling thread. */
    void use();

    /** Handle of the stream, or of the branch during {@link #aside}, for {@link org.cortigan.jni.Native#launch}. */
    long stream();

    /**
     * The same for a launch right after that of another own kernel on the stream, with nothing between them. The kernel
     * may then begin before the other one has ended, and waits for it.
     */
    default long streamAfterKernel() {
        return stream();
    }

    /** Whether a session should run work {@link #aside}; asked when it plans its memory. */
    default boolean hasBranch() {
        return false;
    }

    /**
     * Queues the launches of {@code work} on a branch: they run after everything that the stream has been given so far,
     * in parallel with what it is given from now on. Call {@link #join} before the next branch, and before the stream
     * is given work that reads or overwrites the branch's tensors. A runtime without branches runs {@code work} in
     * order.
     */
    default void aside(Runnable work) {
        work.run();
    }

    /** Makes the stream's later work wait for the work {@link #aside}. */
    default void join() {}

    /** Queues a copy to the device. A source from {@link #allocateHost} must not change until the copy is done. */
    void upload(long device, long host, long bytes);

    /** Queues a copy from the device; the bytes are valid after {@link #synchronize()}. */
    void download(long host, long device, long bytes);

    /**
     * Queues a copy between addresses that the device reaches: its own memory or the host's. Memory of the host must
     * not change until the copy is done.
     */
    void copy(long to, long from, long bytes);

    /** Number of the device among those of its kind, from 0 on. */
    default int number() {
        return 0;
    }

    /** A second buffer in device memory for the tensor of {@code bytes} bytes at address {@code device}. */
    PrefetchBuffer prefetchBuffer(long device, long bytes);

    /** Waits until all queued work is done and throws its error, if any. */
    void synchronize();

    /** Bytes of device memory that a block of {@code bytes} occupies, rounded as the allocator does. */
    default long blockBytes(long bytes) {
        return bytes;
    }

    /** Bytes of device memory that are free now; on the CPU those that this process may still have. */
    long freeBytes();

    /** Records the launches of {@code work} for replay, without executing them. */
    Recorded record(Runnable work);

    /** Creates {@code n} events on the stream. */
    Events events(int n);

    /**
     * Chooses what computes a node on this device: a library call or CortiGAN's own kernel.
     *
     * @param args the kernel's arguments; their addresses are placeholders
     */
    Service service(String kernel, ByteBuffer args);

    /** Called once every node of a session has its {@link #service}; frees the memory used for choosing. */
    default void prepared() {}

    /** Recorded launches. */
    interface Recorded extends AutoCloseable {
        void launch();

        @Override
        void close();
    }

    /** Receives the next contents of a tensor while the stream still works on the current ones. */
    interface PrefetchBuffer extends AutoCloseable {
        /**
         * Starts copying contents into the buffer, in parallel with the stream. The host memory must not change until
         * the work queued after {@link #deliver()} is done.
         */
        void send(long host);

        /** Queues the copy of the last sent contents from the buffer to the tensor. */
        void deliver();

        @Override
        void close();
    }

    /** Events that mark points in the stream's work, numbered from 0. */
    interface Events extends AutoCloseable {
        /** Queues event i. */
        void record(int i);

        /** Waits until the stream has reached event i and throws the error of earlier work, if any. */
        void await(int i);

        /** Nanoseconds from event a to event b; valid after a synchronisation. */
        long nanos(int a, int b);

        @Override
        void close();
    }

    /**
     * What computes a node.
     *
     * @param library the library call that replaces the kernel; empty for CortiGAN's own kernel
     */
    record Service(Optional<KernelCall> library, Served served) {
        /** CortiGAN's own kernel. */
        public static Service own(Served served) {
            return new Service(Optional.empty(), served);
        }

        public static Service library(KernelCall call, Served served) {
            return new Service(Optional.of(call), served);
        }
    }

    /** A call of a library or of CortiGAN's own kernel that is prepared once for fixed shapes. */
    interface KernelCall extends AutoCloseable {
        /** Bytes of scratch memory; known before the arguments hold addresses. */
        long scratchBytes();

        /** Called once the arguments hold their final addresses. */
        default void bound() {}

        /** Launches the call on the addresses in {@code args}, on the runtime's stream. */
        void launch(ByteBuffer args);

        /**
         * Whether {@link #launch} queues all its work on {@link DeviceRuntime#stream()} as it is at the time of the
         * call, so that it may run {@link DeviceRuntime#aside}.
         */
        default boolean followsStream() {
            return false;
        }

        /** Name of the implementation that computes the node; empty if there is no choice of them. */
        default String implementation() {
            return "";
        }

        /** What the kernel's prepare function returned; 0 if it prepares nothing. */
        default long state() {
            return 0;
        }

        @Override
        void close();
    }
}
