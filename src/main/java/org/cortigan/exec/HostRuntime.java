// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.HostMemory;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;
import org.cortigan.op.AllReduce;
import org.jspecify.annotations.Nullable;

/** The CPU as a runtime: tensors lie in host memory, and work is done when its call returns. */
class HostRuntime implements DeviceRuntime {
    private final int threads;
    private final boolean reference;
    private final Ranks ranks;
    /** The reductions that have begun and not ended. */
    private final List<Ranks.Reduction> inFlight = new ArrayList<>();

    private @Nullable Memory staging;

    /** @param threads threads that a kernel uses */
    HostRuntime(int threads) {
        this(threads, false, Ranks.alone());
    }

    /** @param reference whether tensors of floating-point numbers are stored as f64 */
    HostRuntime(int threads, boolean reference, Ranks ranks) {
        this.threads = threads;
        this.reference = reference;
        this.ranks = ranks;
    }

    @Override
    public Ranks ranks() {
        return ranks;
    }

    @Override
    public boolean hasOwnMemory() {
        return false;
    }

    @Override
    public boolean isAsynchronous() {
        return false;
    }

    @Override
    public Memory allocate(long bytes) {
        return Memory.allocate(bytes);
    }

    @Override
    public Memory allocateHost(long bytes) {
        return Memory.allocate(bytes);
    }

    @Override
    public Memory staging() {
        if (staging == null) staging = allocateHost(STAGING);
        return staging;
    }

    @Override
    public void use() {
        Native.set_threads(threads);
    }

    @Override
    public long stream() {
        return 0;
    }

    /** Copies within host memory; every other copy of this runtime calls this one. */
    @Override
    public void copy(long to, long from, long bytes) {
        Native.copy(to, from, bytes);
    }

    @Override
    public void upload(long device, long host, long bytes) {
        copy(device, host, bytes);
    }

    @Override
    public void download(long host, long device, long bytes) {
        copy(host, device, bytes);
    }

    @Override
    public PrefetchBuffer prefetchBuffer(long device, long bytes) {
        Memory buffer = allocate(bytes);
        return new PrefetchBuffer() {
            @Override
            public void send(long host) {
                copy(buffer.address(), host, bytes);
            }

            @Override
            public void deliver() {
                copy(device, buffer.address(), bytes);
            }

            @Override
            public void close() {
                buffer.close();
            }
        };
    }

    /** Waits for reductions that a failed step has left behind, so that their memory may be freed. */
    @Override
    public void synchronize() {
        while (!inFlight.isEmpty()) inFlight.remove(0).end();
    }

    /** What this process may still have, swap space included. */
    @Override
    public long freeBytes() {
        return HostMemory.now().free();
    }

    @Override
    public Recorded record(Runnable work) {
        return new Recorded() {
            @Override
            public void launch() {
                work.run();
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public Events events(int n) {
        long[] at = new long[n];
        return new Events() {
            @Override
            public void record(int i) {
                at[i] = System.nanoTime();
            }

            @Override
            public void await(int i) {}

            @Override
            public long nanos(int a, int b) {
                return at[b] - at[a];
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public Service service(String kernel, ByteBuffer args) {
        if (ranks.size() == 1) return Service.own(Served.kernel());
        return switch (kernel) {
            case AllReduce.BEGIN -> Service.library(begin(args), Served.library("ranks", ""));
            case AllReduce.END -> Service.library(end(), Served.library("ranks", ""));
            default -> Service.own(Served.kernel());
        };
    }

    /** A call without scratch memory. */
    private record Call(Consumer<ByteBuffer> launch) implements KernelCall {
        @Override
        public long scratchBytes() {
            return 0;
        }

        @Override
        public void launch(ByteBuffer args) {
            launch.accept(args);
        }

        @Override
        public void close() {}
    }

    private KernelCall begin(ByteBuffer args) {
        ArgStruct layout = Kernels.args(AllReduce.BEGIN);
        boolean wide = reference || AllReduce.isF64(layout.get(args, "type"));
        Ranks.Reduction r = ranks.reduction(layout.get(args, "n"), wide, layout.get(args, "mean") != 0);
        return new Call(a -> {
            inFlight.add(r);
            r.begin(layout.get(a, "y"));
        });
    }

    private KernelCall end() {
        ArgStruct layout = Kernels.args(AllReduce.END);
        return new Call(a -> {
            int i = 0;
            while (inFlight.get(i).address() != layout.get(a, "y")) i++;
            inFlight.remove(i).end();
        });
    }

    /** Frees the staging memory. */
    void close() {
        if (staging != null) staging.close();
        staging = null;
    }
}
