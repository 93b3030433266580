// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.jni.Memory;

/**
 * Memory and one stream of work of a device. The stream does everything in the order of the calls; only a
 * {@link PrefetchBuffer} is filled beside it, and only {@link #synchronize()} waits. A runtime serves one thread at a
 * time; another thread must call {@link #use()} first.
 */
@SuppressWarnings("exports") // devices and their memory are made inside this module
public interface DeviceRuntime {
    /** Whether tensors lie in memory that the host does not see. */
    boolean hasOwnMemory();

    /** Whether calls only queue work: its results are there after {@link #synchronize()}. */
    boolean isAsynchronous();

    /** A zeroed block of the device's memory. */
    Memory allocate(long bytes);

    /** A zeroed block of the host's memory from which the device copies by itself. */
    Memory allocateHost(long bytes);

    /** Bytes of {@link #staging()}. */
    long STAGING = 4 << 20;

    /**
     * Memory of {@link #allocateHost}, {@value #STAGING} bytes, through which contents pass to and from the device. The
     * first call allocates it and the runtime keeps it, because allocating such memory takes longer than copying a few
     * megabytes.
     */
    Memory staging();

    /** Makes this the calling thread's device. */
    void use();

    /** What kernels are launched on, for {@link org.cortigan.jni.Native#launch}. */
    long stream();

    /** Copies to the device. Memory of {@link #allocateHost} must not change until the copy is done. */
    void upload(long device, long host, long bytes);

    /** Copies from the device; the bytes are there after {@link #synchronize()}. */
    void download(long host, long device, long bytes);

    /** A second buffer, in the device's memory, for the tensor of so many bytes at {@code device}. */
    PrefetchBuffer prefetchBuffer(long device, long bytes);

    /** Waits until all queued work is done, and throws what went wrong. */
    void synchronize();

    /** What a block of so many bytes takes of the device's memory. */
    default long blockBytes(long bytes) {
        return bytes;
    }

    /** Bytes of the device's memory that are free now. */
    long freeBytes();

    /** Records the launches of {@code work}, to be replayed; recording does not execute them. */
    Recorded record(Runnable work);

    /** So many events on the stream. */
    Events events(int n);

    /**
     * Chooses what computes a node on this device: a library's call or the project's own kernel.
     *
     * @param args the kernel's arguments, whose addresses are not yet known
     */
    Service service(String kernel, ByteBuffer args);

    /** Every node of a session has its {@link #service}: gives back what choosing it took. */
    default void prepared() {}

    /** Recorded launches. */
    interface Recorded extends AutoCloseable {
        void launch();

        @Override
        void close();
    }

    /** Takes the next contents of a tensor while the stream still works on the present ones. */
    interface PrefetchBuffer extends AutoCloseable {
        /**
         * Copies contents into the buffer, beside the stream. The host's memory must not change until the work queued
         * after {@link #deliver()} is done.
         */
        void send(long host);

        /** Queues the copy of what was sent last from the buffer to the tensor. */
        void deliver();

        @Override
        void close();
    }

    /** Points in the stream's work. */
    interface Events extends AutoCloseable {
        /** Queues event i. */
        void record(int i);

        /** Waits until the stream has reached event i, and throws what went wrong before it. */
        void await(int i);

        /** Nanoseconds from event a to event b; valid after a synchronisation. */
        long nanos(int a, int b);

        @Override
        void close();
    }

    /**
     * What computes a node.
     *
     * @param call takes the kernel's place; null where the project's own kernel serves
     */
    record Service(LibraryKernel call, Served served) {
        public static Service own(Served served) {
            return new Service(null, served);
        }
    }

    /** A library's primitive, made once for its shapes. */
    interface LibraryKernel extends AutoCloseable {
        long scratchBytes();

        /** Launches with the addresses in the arguments. */
        void launch(ByteBuffer args);

        @Override
        void close();
    }
}
