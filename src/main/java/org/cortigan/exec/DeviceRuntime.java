// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.mem.Memory;

/**
 * Memory, one stream and recorded graphs of a device whose memory is not the processor's. Everything happens in the
 * order of the calls, but for what travels by a {@link Lane}; only {@link #synchronize()} waits. For one thread at a
 * time; another must call {@link #use()} first.
 */
public interface DeviceRuntime {
    /** A zeroed block of the device's memory. */
    Memory allocate(long bytes);

    /** A zeroed block of memory of the processor from which the device copies without help. */
    Memory allocateHost(long bytes);

    /** Bytes of {@link #staging()}. */
    long STAGING = 4 << 20;

    /**
     * Memory of {@link #allocateHost}, {@value #STAGING} bytes, through which contents pass to and from the device.
     * Made at the first call and the runtime's own: allocating such memory takes longer than the copy of a few
     * megabytes.
     */
    Memory staging();

    /** Makes this the calling thread's device. */
    void use();

    /** What kernels are launched on, for {@link org.cortigan.jni.Native#launch}. */
    long stream();

    /** Copies to the device. Memory of {@link #allocateHost} must stay as it is until the device has got there. */
    void upload(long device, long host, long bytes);

    /** Copies from the device; the bytes are there after {@link #synchronize()}. */
    void download(long host, long device, long bytes);

    /**
     * A way of its own to so many bytes at {@code device}, beside the stream. It takes as much of the device's memory
     * again.
     */
    Lane lane(long device, long bytes);

    /** Waits until everything asked for is done, and throws what went wrong. */
    void synchronize();

    /** What a block of so many bytes takes of the device's memory. */
    default long blockBytes(long bytes) {
        return bytes;
    }

    /** Bytes of the device's memory that are free now. */
    long freeBytes();

    /** What the launches that {@code work} makes do, to be done again and again. It is not done now. */
    Recorded record(Runnable work);

    /** A clock of n marks on the stream. */
    Marks marks(int n);

    /**
     * Who computes a node on this device: a library's call or the project's own kernel.
     *
     * @param args the kernel's arguments, addresses still to come
     */
    Service service(String kernel, ByteBuffer args);

    /** All of a session's nodes have their {@link #service}: what choosing it took is given back. */
    default void prepared() {}

    /** A recorded piece of work. */
    interface Recorded extends AutoCloseable {
        void launch();

        @Override
        void close();
    }

    /** Brings contents to a tensor while the stream still works with the old ones. */
    interface Lane extends AutoCloseable {
        /**
         * Sends them to the device; the host's must stay as they are until the work that follows {@link #deliver()} is
         * done.
         */
        void send(long host);

        /** Puts what was sent last into its place, in order with the stream's work. */
        void deliver();

        @Override
        void close();
    }

    /** Times between marks. */
    interface Marks extends AutoCloseable {
        void mark(int i);

        /** Waits until the device has come to the mark, and throws what went wrong before it. */
        void await(int i);

        /** Nanoseconds from mark a to mark b; after a synchronisation. */
        long nanos(int a, int b);

        @Override
        void close();
    }

    /**
     * Who computes a node.
     *
     * @param call takes the kernel's place; null where the project's own serves
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
