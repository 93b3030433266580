// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;

import java.nio.ByteBuffer;
import java.util.List;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.cortigan.InputException;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Served;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;
import org.jspecify.annotations.Nullable;

/**
 * A GPU's memory and its stream, with a second stream for work aside, a third for parallel uploads and, in a run of
 * several ranks, one for reductions ({@link Nccl}). An error message names the call, then CUDA's name and text of the
 * error. An error found in a {@code close} method is rethrown by the next call, because CUDA reports a failed kernel at
 * whatever call comes next.
 */
final class CudaRuntime implements DeviceRuntime, AutoCloseable {
    /** A pointer that every call reuses with another address, so that a step allocates none. */
    private static final class At extends Pointer {
        At at(long a) {
            address = a;
            return this;
        }
    }

    /** Marks in a stream's address for the kernels' host functions (native/cuda/device.cuh, Queue). */
    private static final long EARLY = 1L << 63, AFTER_KERNEL = 1L << 62;

    private final int number;
    private final CUstream_st stream;
    private final At to = new At();
    private final At from = new At();
    /** The runtime that owns the shared resources: this one or, if this is a TF32 view, its f32 runtime. */
    private final CudaRuntime main;

    /** The view with TF32 products, once it is asked for. */
    private @Nullable CudaRuntime tf32;

    private @Nullable VendorKernels libraries;
    /** Null if this process is the whole run. */
    private @Nullable Nccl nccl;

    private @Nullable Branch branch;
    private @Nullable CUstream_st uploads;
    private @Nullable Memory staging;
    private @Nullable String pendingError;

    CudaRuntime(int number) {
        this.number = number;
        main = this;
        stream = new CUstream_st();
        use();
        check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }

    /** Whether -Dcortigan.cuda.streams leaves the second stream, on which products run in parallel. */
    private static boolean twoStreams() {
        return usual("cortigan.cuda.streams", "2", "1");
    }

    /** Whether -Dcortigan.cuda.earlyLaunch lets a kernel begin before the own kernel before it has ended. */
    private static boolean earlyLaunch() {
        return usual("cortigan.cuda.earlyLaunch", "true", "false");
    }

    /** Whether a property that is read at every recording has its usual value. */
    private static boolean usual(String property, String usual, String other) {
        String value = System.getProperty(property, usual);
        if (!value.equals(usual) && !value.equals(other))
            throw new InputException("-D" + property, "'" + value + "' is unknown", "Use " + usual + " or " + other);
        return value.equals(usual);
    }

    /** @throws InputException if a property has an unknown value */
    static void checkProperties() {
        twoStreams();
        earlyLaunch();
    }

    private CudaRuntime(CudaRuntime fp32) {
        number = fp32.number;
        main = fp32;
        stream = fp32.stream;
    }

    /** Whether products run in TF32. */
    boolean tf32() {
        return main != this;
    }

    /** The runtime of this memory and stream whose products run in TF32, or in f32. */
    CudaRuntime tf32(boolean on) {
        if (!on) return main;
        if (main.tf32 == null) main.tf32 = new CudaRuntime(main);
        return main.tf32;
    }

    /** Sets the libraries that replace CortiGAN's own kernels; {@link #close} closes them. */
    void libraries(VendorKernels v) {
        libraries = v;
    }

    /**
     * Makes this runtime that of one rank.
     *
     * @throws InputException if NCCL is missing
     */
    void join(Ranks ranks) {
        if (main.nccl != null) throw new IllegalStateException("the device is that of a rank already");
        use();
        main.nccl = new Nccl(main, ranks, number);
    }

    @Override
    public Ranks ranks() {
        return main.nccl == null ? Ranks.alone() : main.nccl.ranks();
    }

    @Override
    public void meet() {
        use();
        if (main.nccl != null) main.nccl.meet();
    }

    /** The stream that calls queue work on: during {@link #aside} the branch's. */
    CUstream_st cudaStream() {
        Branch b = main.branch;
        return b != null && b.open ? b.stream : stream;
    }

    /** Name and text of an error. */
    static String text(int error) {
        return cudaGetErrorName(error).getString() + ": "
                + cudaGetErrorString(error).getString();
    }

    void check(int error, String call) {
        if (main.pendingError != null) {
            String what = main.pendingError;
            main.pendingError = null;
            throw new IllegalStateException(what);
        }
        if (error != cudaSuccess) throw failed(error, call);
    }

    private static IllegalStateException failed(int error, String call) {
        cudaGetLastError(); // clears the error that is reported here
        return new IllegalStateException(call + ": " + text(error));
    }

    /** Keeps the error of a call that frees something; the next {@link #check} throws it. */
    void deferError(int error, String call) {
        if (error == cudaSuccess) return;
        if (main.pendingError == null) main.pendingError = call + ": " + text(error);
        cudaGetLastError();
    }

    @Override
    public boolean hasOwnMemory() {
        return true;
    }

    @Override
    public boolean isAsynchronous() {
        return true;
    }

    @Override
    public Memory allocate(long bytes) {
        use();
        Pointer p = new Pointer();
        int e = cudaMalloc(p, Math.max(1, bytes));
        if (e == cudaErrorMemoryAllocation) throw outOfMemory("cudaMalloc of " + bytes + " bytes", e);
        check(e, "cudaMalloc of " + bytes + " bytes");
        long a = p.address();
        e = cudaMemsetAsync(p, 0, bytes, stream);
        if (e != cudaSuccess) {
            deferError(cudaFree(p), "cudaFree");
            throw failed(e, "cudaMemsetAsync");
        }
        return Memory.of(a, bytes, this::free, false);
    }

    private OutOfMemoryError outOfMemory(String call, int e) {
        cudaGetLastError();
        return new OutOfMemoryError(call + ": " + text(e) + "; " + freeBytes() + " bytes are free on the card");
    }

    private void free(long address) {
        deferError(cudaSetDevice(number), "cudaSetDevice");
        deferError(cudaFree(to.at(address)), "cudaFree");
    }

    @Override
    public Memory allocateHost(long bytes) {
        use();
        Pointer p = new Pointer();
        int e = cudaHostAlloc(p, Math.max(1, bytes), cudaHostAllocDefault);
        if (e == cudaErrorMemoryAllocation) throw outOfMemory("cudaHostAlloc of " + bytes + " bytes", e);
        check(e, "cudaHostAlloc of " + bytes + " bytes");
        Native.fill(p.address(), 0, bytes);
        return Memory.of(p.address(), bytes, this::freeHost, true);
    }

    private void freeHost(long address) {
        deferError(cudaFreeHost(to.at(address)), "cudaFreeHost");
    }

    @Override
    public Memory staging() {
        if (main.staging == null) main.staging = allocateHost(STAGING);
        return main.staging;
    }

    @Override
    public void use() {
        check(cudaSetDevice(number), "cudaSetDevice");
    }

    @Override
    public long stream() {
        return cudaStream().address() | (earlyLaunch() ? EARLY : 0);
    }

    @Override
    public long streamAfterKernel() {
        return earlyLaunch() ? stream() | AFTER_KERNEL : stream();
    }

    @Override
    public boolean hasBranch() {
        return twoStreams();
    }

    @Override
    public void aside(Runnable work) {
        if (main.branch == null) main.branch = new Branch();
        main.branch.run(work);
    }

    @Override
    public void join() {
        if (main.branch != null) main.branch.join();
    }

    /**
     * A second stream. In a recording, waiting for the event {@code forked} makes it part of the recording; the
     * recording cannot end before the stream has waited for the event {@code joined}.
     */
    private final class Branch {
        private final CUstream_st stream = new CUstream_st();
        private final CUevent_st forked = new CUevent_st();
        private final CUevent_st joined = new CUevent_st();
        private boolean open;

        Branch() {
            try {
                check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
                check(cudaEventCreateWithFlags(forked, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                check(cudaEventCreateWithFlags(joined, cudaEventDisableTiming), "cudaEventCreateWithFlags");
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        void run(Runnable work) {
            if (open) throw new IllegalStateException("work aside cannot branch again");
            check(cudaEventRecord(forked, main.stream), "cudaEventRecord");
            check(cudaStreamWaitEvent(stream, forked, 0), "cudaStreamWaitEvent");
            open = true;
            try {
                work.run();
            } finally {
                open = false;
            }
        }

        void join() {
            check(cudaEventRecord(joined, stream), "cudaEventRecord");
            check(cudaStreamWaitEvent(main.stream, joined, 0), "cudaStreamWaitEvent");
        }

        void close() {
            for (CUevent_st e : List.of(forked, joined))
                if (!e.isNull()) deferError(cudaEventDestroy(e), "cudaEventDestroy");
            if (!stream.isNull()) deferError(cudaStreamDestroy(stream), "cudaStreamDestroy");
        }
    }

    @Override
    public void upload(long device, long host, long bytes) {
        check(
                cudaMemcpyAsync(to.at(device), from.at(host), bytes, cudaMemcpyHostToDevice, cudaStream()),
                "cudaMemcpyAsync to the device");
    }

    @Override
    public void download(long host, long device, long bytes) {
        check(
                cudaMemcpyAsync(to.at(host), from.at(device), bytes, cudaMemcpyDeviceToHost, cudaStream()),
                "cudaMemcpyAsync from the device");
    }

    @Override
    public void copy(long toAddress, long fromAddress, long bytes) {
        check(
                cudaMemcpyAsync(to.at(toAddress), from.at(fromAddress), bytes, cudaMemcpyDefault, cudaStream()),
                "cudaMemcpyAsync");
    }

    @Override
    public int number() {
        return number;
    }

    @Override
    public PrefetchBuffer prefetchBuffer(long device, long bytes) {
        use();
        if (main.uploads == null) {
            CUstream_st s = new CUstream_st();
            check(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
            main.uploads = s;
        }
        return new Prefetch(main.uploads, device, bytes);
    }

    /**
     * Two events order the streams: an upload waits until the previous delivery has read the buffer, and a delivery
     * waits for the previous upload.
     */
    private final class Prefetch implements PrefetchBuffer {
        private final CUstream_st uploads;
        private final long device;
        private final long bytes;
        private final Memory buffer;
        private final CUevent_st sent = new CUevent_st();
        private final CUevent_st delivered = new CUevent_st();

        Prefetch(CUstream_st uploads, long device, long bytes) {
            this.uploads = uploads;
            this.device = device;
            this.bytes = bytes;
            buffer = allocate(bytes);
            try {
                check(cudaEventCreateWithFlags(sent, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                check(cudaEventCreateWithFlags(delivered, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                check(cudaEventRecord(delivered, stream), "cudaEventRecord"); // reached once the buffer is zeroed
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        @Override
        public void send(long host) {
            check(cudaStreamWaitEvent(uploads, delivered, 0), "cudaStreamWaitEvent");
            check(
                    cudaMemcpyAsync(to.at(buffer.address()), from.at(host), bytes, cudaMemcpyHostToDevice, uploads),
                    "cudaMemcpyAsync to the device");
            check(cudaEventRecord(sent, uploads), "cudaEventRecord");
        }

        @Override
        public void deliver() {
            check(cudaStreamWaitEvent(stream, sent, 0), "cudaStreamWaitEvent");
            check(
                    cudaMemcpyAsync(to.at(device), from.at(buffer.address()), bytes, cudaMemcpyDeviceToDevice, stream),
                    "cudaMemcpyAsync on the device");
            check(cudaEventRecord(delivered, stream), "cudaEventRecord");
        }

        @Override
        public void close() {
            deferError(cudaStreamSynchronize(uploads), "cudaStreamSynchronize"); // the caller may free its memory next
            for (CUevent_st e : List.of(sent, delivered))
                if (!e.isNull()) deferError(cudaEventDestroy(e), "cudaEventDestroy");
            buffer.close();
        }
    }

    @Override
    public void synchronize() {
        await(stream);
        if (main.branch != null) await(main.branch.stream);
        if (main.uploads != null) await(main.uploads);
        if (main.nccl != null) await(main.nccl.stream());
    }

    private void await(CUstream_st s) {
        Nccl n = main.nccl;
        if (n == null) {
            check(cudaStreamSynchronize(s), "cudaStreamSynchronize");
            return;
        }
        n.check();
        int e;
        while ((e = cudaStreamQuery(s)) == cudaErrorNotReady) n.pause();
        check(e, "cudaStreamQuery");
    }

    private void await(CUevent_st event) {
        Nccl n = main.nccl;
        if (n == null) {
            check(cudaEventSynchronize(event), "cudaEventSynchronize");
            return;
        }
        n.check();
        int e;
        while ((e = cudaEventQuery(event)) == cudaErrorNotReady) n.pause();
        check(e, "cudaEventQuery");
    }

    /** An estimate: assumes that blocks of up to 1 MiB share pages of 2 MiB and that larger blocks take whole pages. */
    @Override
    public long blockBytes(long bytes) {
        long unit = bytes > 1 << 20 ? 2 << 20 : 512;
        return (bytes + unit - 1) / unit * unit;
    }

    @Override
    public long freeBytes() {
        use();
        try (SizeTPointer free = new SizeTPointer(1);
                SizeTPointer all = new SizeTPointer(1)) {
            check(cudaMemGetInfo(free, all), "cudaMemGetInfo");
            return free.get();
        }
    }

    @Override
    public Recorded record(Runnable work) {
        use();
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
        CUgraph_st graph = new CUgraph_st();
        try {
            work.run();
        } catch (RuntimeException | Error e) {
            // End the recording in any case, so that the stream stays usable.
            if (cudaStreamEndCapture(stream, graph) == cudaSuccess && !graph.isNull()) cudaGraphDestroy(graph);
            cudaGetLastError();
            throw e;
        }
        int e = cudaStreamEndCapture(stream, graph);
        if (e != cudaSuccess) {
            if (!graph.isNull()) cudaGraphDestroy(graph);
            throw failed(e, "cudaStreamEndCapture");
        }
        CUgraphExec_st exec = new CUgraphExec_st();
        e = cudaGraphInstantiate(exec, graph, 0);
        deferError(cudaGraphDestroy(graph), "cudaGraphDestroy");
        if (e != cudaSuccess) throw failed(e, "cudaGraphInstantiate");
        return new Recorded() {
            @Override
            public void launch() {
                check(cudaGraphLaunch(exec, stream), "cudaGraphLaunch");
            }

            @Override
            public void close() {
                deferError(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
            }
        };
    }

    @Override
    public Events events(int n) {
        use();
        CUevent_st[] events = new CUevent_st[n];
        int made = 0;
        try {
            for (; made < n; made++) check(cudaEventCreate(events[made] = new CUevent_st()), "cudaEventCreate");
        } catch (RuntimeException e) {
            for (int i = 0; i < made; i++) deferError(cudaEventDestroy(events[i]), "cudaEventDestroy");
            throw e;
        }
        return new Events() {
            @Override
            public void record(int i) {
                check(cudaEventRecord(events[i], stream), "cudaEventRecord");
            }

            @Override
            public void await(int i) {
                CudaRuntime.this.await(events[i]);
            }

            @Override
            public long nanos(int a, int b) {
                try (FloatPointer ms = new FloatPointer(1)) {
                    check(cudaEventElapsedTime(ms, events[a], events[b]), "cudaEventElapsedTime");
                    return Math.round(ms.get() * 1e6);
                }
            }

            @Override
            public void close() {
                for (CUevent_st e : events) deferError(cudaEventDestroy(e), "cudaEventDestroy");
            }
        };
    }

    /** A pointer to an address of device memory. */
    static Pointer at(long address) {
        return new At().at(address);
    }

    /** {@code bytes} rounded up to the alignment of blocks in scratch memory. */
    static long align(long bytes) {
        return (bytes + 255) / 256 * 256;
    }

    @Override
    public Service service(String kernel, ByteBuffer args) {
        if (main.nccl != null) {
            KernelCall call = main.nccl.call(kernel, args);
            if (call != null) return Service.library(call, Served.library("NCCL", ""));
        }
        VendorKernels v = main.libraries;
        return v == null ? Service.own(VendorKernels.absent(kernel)) : v.kernel(kernel, args, tf32());
    }

    @Override
    public void prepared() {
        VendorKernels v = main.libraries;
        if (v != null) v.prepared();
    }

    @Override
    public void close() {
        if (main != this) return;
        if (libraries != null) libraries.close();
        deferError(cudaSetDevice(number), "cudaSetDevice");
        if (nccl != null) nccl.close();
        if (staging != null) staging.close();
        if (branch != null) branch.close();
        if (uploads != null) deferError(cudaStreamDestroy(uploads), "cudaStreamDestroy");
        deferError(cudaStreamDestroy(stream), "cudaStreamDestroy");
        if (pendingError != null) throw new IllegalStateException(pendingError);
    }
}
