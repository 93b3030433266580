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
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.graph.DType;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.mem.Memory;

/**
 * Memory and the one stream of a card, and a second one for uploads beside it. An error names the call, CUDA's name for
 * it and its text. CUDA reports a failed kernel at whatever call comes next: what {@code close} methods meet is thrown
 * by the first call after them.
 */
final class CudaRuntime implements DeviceRuntime, AutoCloseable {
    /** A pointer that is aimed anew for every call, so that a step makes none. */
    private static final class At extends Pointer {
        At at(long a) {
            address = a;
            return this;
        }
    }

    private final int number;
    private final CUstream_st stream;
    private final At to = new At();
    private final At from = new At();
    private final CudaRuntime fp32;
    private VendorKernels libraries;
    private CUstream_st uploads;
    private Memory staging;
    private String later;

    CudaRuntime(int number) {
        this.number = number;
        fp32 = null;
        stream = new CUstream_st();
        use();
        check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }

    private CudaRuntime(CudaRuntime fp32) {
        this.number = fp32.number;
        this.fp32 = fp32;
        stream = fp32.stream;
    }

    /** The same stream with products in TF32. */
    CudaRuntime tf32() {
        return new CudaRuntime(this);
    }

    /** What takes the place of the project's own kernels; null for those alone. It is closed with this. */
    void libraries(VendorKernels v) {
        libraries = v;
    }

    CUstream_st cudaStream() {
        return stream;
    }

    /** Name and text of an error. */
    static String text(int error) {
        return cudaGetErrorName(error).getString() + ": "
                + cudaGetErrorString(error).getString();
    }

    void check(int error, String call) {
        CudaRuntime r = fp32 == null ? this : fp32;
        if (r.later != null) {
            String what = r.later;
            r.later = null;
            throw new IllegalStateException(what);
        }
        if (error != cudaSuccess) throw failed(error, call);
    }

    private static IllegalStateException failed(int error, String call) {
        cudaGetLastError(); // it has been reported
        return new IllegalStateException(call + ": " + text(error));
    }

    /** For calls that give something back: the error is thrown by the next call that may. */
    private void keep(int error, String call) {
        if (error == cudaSuccess) return;
        CudaRuntime r = fp32 == null ? this : fp32;
        if (r.later == null) r.later = call + ": " + text(error);
        cudaGetLastError();
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
            keep(cudaFree(p), "cudaFree");
            throw failed(e, "cudaMemsetAsync");
        }
        return Memory.of(a, bytes, this::free, false);
    }

    private OutOfMemoryError outOfMemory(String call, int e) {
        cudaGetLastError();
        return new OutOfMemoryError(call + ": " + text(e) + "; " + freeBytes() + " bytes are free on it");
    }

    private void free(long address) {
        keep(cudaSetDevice(number), "cudaSetDevice");
        keep(cudaFree(to.at(address)), "cudaFree");
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
        keep(cudaFreeHost(to.at(address)), "cudaFreeHost");
    }

    @Override
    public Memory staging() {
        CudaRuntime r = fp32 == null ? this : fp32;
        if (r.staging == null) r.staging = allocateHost(STAGING);
        return r.staging;
    }

    @Override
    public void use() {
        check(cudaSetDevice(number), "cudaSetDevice");
    }

    @Override
    public long stream() {
        return stream.address();
    }

    @Override
    public void upload(long device, long host, long bytes) {
        check(
                cudaMemcpyAsync(to.at(device), from.at(host), bytes, cudaMemcpyHostToDevice, stream),
                "cudaMemcpyAsync to the device");
    }

    @Override
    public void download(long host, long device, long bytes) {
        check(
                cudaMemcpyAsync(to.at(host), from.at(device), bytes, cudaMemcpyDeviceToHost, stream),
                "cudaMemcpyAsync from the device");
    }

    @Override
    public Lane lane(long device, long bytes) {
        CudaRuntime r = fp32 == null ? this : fp32;
        use();
        if (r.uploads == null) {
            CUstream_st s = new CUstream_st();
            check(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
            r.uploads = s;
        }
        return new Upload(r.uploads, device, bytes);
    }

    /**
     * Two events order the streams: what is sent waits until the delivery before it has left the room, the next one for
     * what is sent.
     */
    private final class Upload implements Lane {
        private final CUstream_st uploads;
        private final long device;
        private final long bytes;
        private final Memory room;
        private final CUevent_st sent = new CUevent_st();
        private final CUevent_st delivered = new CUevent_st();

        Upload(CUstream_st uploads, long device, long bytes) {
            this.uploads = uploads;
            this.device = device;
            this.bytes = bytes;
            room = allocate(bytes);
            try {
                check(cudaEventCreateWithFlags(sent, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                check(cudaEventCreateWithFlags(delivered, cudaEventDisableTiming), "cudaEventCreateWithFlags");
                check(cudaEventRecord(delivered, stream), "cudaEventRecord"); // the stream has cleared the room
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }

        @Override
        public void send(long host) {
            check(cudaStreamWaitEvent(uploads, delivered, 0), "cudaStreamWaitEvent");
            check(
                    cudaMemcpyAsync(to.at(room.address()), from.at(host), bytes, cudaMemcpyHostToDevice, uploads),
                    "cudaMemcpyAsync to the device");
            check(cudaEventRecord(sent, uploads), "cudaEventRecord");
        }

        @Override
        public void deliver() {
            check(cudaStreamWaitEvent(stream, sent, 0), "cudaStreamWaitEvent");
            check(
                    cudaMemcpyAsync(to.at(device), from.at(room.address()), bytes, cudaMemcpyDeviceToDevice, stream),
                    "cudaMemcpyAsync on the device");
            check(cudaEventRecord(delivered, stream), "cudaEventRecord");
        }

        @Override
        public void close() {
            keep(cudaStreamSynchronize(uploads), "cudaStreamSynchronize"); // the host's memory may go next
            for (CUevent_st e : List.of(sent, delivered))
                if (!e.isNull()) keep(cudaEventDestroy(e), "cudaEventDestroy");
            room.close();
        }
    }

    @Override
    public void synchronize() {
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        CUstream_st up = (fp32 == null ? this : fp32).uploads;
        if (up != null) check(cudaStreamSynchronize(up), "cudaStreamSynchronize");
    }

    /** Small blocks share pages of 2 MiB, larger ones take whole pages. */
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
            // The stream must leave its recording, whatever became of it.
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
        keep(cudaGraphDestroy(graph), "cudaGraphDestroy");
        if (e != cudaSuccess) throw failed(e, "cudaGraphInstantiate");
        return new Recorded() {
            @Override
            public void launch() {
                check(cudaGraphLaunch(exec, stream), "cudaGraphLaunch");
            }

            @Override
            public void close() {
                keep(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
            }
        };
    }

    @Override
    public Marks marks(int n) {
        use();
        CUevent_st[] events = new CUevent_st[n];
        int made = 0;
        try {
            for (; made < n; made++) check(cudaEventCreate(events[made] = new CUevent_st()), "cudaEventCreate");
        } catch (RuntimeException e) {
            for (int i = 0; i < made; i++) keep(cudaEventDestroy(events[i]), "cudaEventDestroy");
            throw e;
        }
        return new Marks() {
            @Override
            public void mark(int i) {
                check(cudaEventRecord(events[i], stream), "cudaEventRecord");
            }

            @Override
            public void await(int i) {
                check(cudaEventSynchronize(events[i]), "cudaEventSynchronize");
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
                for (CUevent_st e : events) keep(cudaEventDestroy(e), "cudaEventDestroy");
            }
        };
    }

    /** A pointer to an address of the device's. */
    static Pointer at(long address) {
        return new At().at(address);
    }

    /** Bytes up to the next place in scratch memory. */
    static long align(long bytes) {
        return (bytes + 255) / 256 * 256;
    }

    /** Launches a kernel of the project's with the arguments at that address of the host's. */
    void launch(String kernel, DType type, long args) {
        Native.launch(
                Native.kernel_function(Backend.CUDA.number(), Kernels.id(kernel), type.variant()), args, stream());
    }

    @Override
    public Service service(String kernel, ByteBuffer args) {
        VendorKernels v = fp32 == null ? libraries : fp32.libraries;
        return v == null ? Service.own(VendorKernels.absent(kernel)) : v.kernel(kernel, args, fp32 != null);
    }

    @Override
    public void prepared() {
        VendorKernels v = fp32 == null ? libraries : fp32.libraries;
        if (v != null) v.prepared();
    }

    @Override
    public void close() {
        if (fp32 != null) return;
        if (libraries != null) libraries.close();
        keep(cudaSetDevice(number), "cudaSetDevice");
        if (staging != null) staging.close();
        if (uploads != null) keep(cudaStreamDestroy(uploads), "cudaStreamDestroy");
        keep(cudaStreamDestroy(stream), "cudaStreamDestroy");
        if (later != null) throw new IllegalStateException(later);
    }
}
