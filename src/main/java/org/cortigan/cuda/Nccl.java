// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;
import static org.bytedeco.cuda.global.nccl.*;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.nccl.ncclComm;
import org.bytedeco.cuda.nccl.ncclUniqueId;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.cortigan.InputException;
import org.cortigan.exec.DeviceRuntime.KernelCall;
import org.cortigan.exec.Ranks;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.cortigan.op.AllReduce;
import org.jspecify.annotations.Nullable;

/**
 * Reductions of tensors over the ranks of a run by NCCL (kernels/all_reduce), each rank with a card of its own. They
 * run on a stream of their own, beside the kernels between {@link AllReduce#BEGIN} and {@link AllReduce#END}; in a
 * recording that stream is a branch. NCCL adds in the tensors' type, in an order that depends on the machine and the
 * number of ranks; all ranks get the same bits.
 *
 * <p>If a rank is lost, NCCL's kernels wait for ever and an error stands with the communicator. The runtime asks for it
 * wherever it waits ({@link #check}), so it polls instead of blocking.
 */
final class Nccl {
    static final String LIBRARY = "libnccl.so.2";

    /** Between two looks at work that is not done. */
    private static final long PAUSE_NANOS = 20_000;

    private final CudaRuntime runtime;
    private final Ranks ranks;
    private final int card;
    private final CUstream_st stream = new CUstream_st();
    /** The reductions that have begun and not ended. */
    private final List<Begin> inFlight = new ArrayList<>();

    private final int[] state = new int[1];
    /** Null before {@link #meet} and after an error. */
    private @Nullable ncclComm communicator;

    /**
     * Loads NCCL.
     *
     * @param runtime the card's, which is current
     * @throws InputException if NCCL is missing
     */
    Nccl(CudaRuntime runtime, Ranks ranks, int card) {
        this.runtime = runtime;
        this.ranks = ranks;
        this.card = card;
        try {
            CudaLibraries.preload(LIBRARY);
            check(ncclGetVersion(state), "ncclGetVersion");
        } catch (LinkageError e) {
            throw CudaLibraries.noNccl(e);
        }
        runtime.check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }

    Ranks ranks() {
        return ranks;
    }

    CUstream_st stream() {
        return stream;
    }

    /** Makes the communicator; all ranks must call it. */
    void meet() {
        if (communicator != null) return;
        requireOwnCard();
        try (ncclUniqueId id = new ncclUniqueId()) {
            BytePointer bytes = id.internal();
            byte[] own = new byte[ranks.isFirst() ? id.sizeof() : 0];
            if (ranks.isFirst()) {
                check(ncclGetUniqueId(id), "ncclGetUniqueId");
                bytes.get(own);
            }
            bytes.put(ranks.fromFirst(own));
            ncclComm made = new ncclComm();
            check(ncclCommInitRank(made, ranks.size(), id, ranks.rank()), "ncclCommInitRank");
            communicator = made;
        }
    }

    /** The card's address on the PCI bus, the same in every process whatever number the card has there. */
    private byte[] bus() {
        byte[] id = new byte[32];
        runtime.check(cudaDeviceGetPCIBusId(id, id.length, card), "cudaDeviceGetPCIBusId");
        return id;
    }

    /** NCCL refuses two ranks on one card, in words that name neither. */
    private void requireOwnCard() {
        List<byte[]> buses = ranks.gather(bus());
        List<String> seen = new ArrayList<>();
        for (int q = 0; q < buses.size(); q++) {
            String host = ranks.hosts().get(q), bus = new String(buses.get(q), StandardCharsets.US_ASCII).trim();
            int other = seen.indexOf(host + " " + bus);
            if (other >= 0)
                throw new InputException(
                        "the card at " + bus + " on " + host,
                        "is that of rank " + other + " and of rank " + q + ", and NCCL needs a card for each rank",
                        "Start at most as many ranks on a machine as it has cards, with --device cuda, which gives each"
                                + " its own; or use --device cpu");
            seen.add(host + " " + bus);
        }
    }

    /** The call of a node that begins or ends a reduction; null for every other kernel. */
    @Nullable
    KernelCall call(String kernel, ByteBuffer args) {
        return switch (kernel) {
            case AllReduce.BEGIN -> new Begin(args);
            case AllReduce.END -> new End();
            default -> null;
        };
    }

    private final class Begin implements KernelCall {
        private final ArgStruct layout = Kernels.args(AllReduce.BEGIN);
        private final long elements;
        private final int type, operation;
        private final CUevent_st computed = new CUevent_st();
        private final CUevent_st reduced = new CUevent_st();
        private long address;

        Begin(ByteBuffer args) {
            elements = layout.get(args, "n");
            type = AllReduce.isF64(layout.get(args, "type")) ? ncclFloat64 : ncclFloat32;
            operation = layout.get(args, "mean") != 0 ? ncclAvg : ncclSum;
        }

        @Override
        public long scratchBytes() {
            return 0;
        }

        @Override
        public void bound() {
            for (CUevent_st e : List.of(computed, reduced))
                runtime.check(cudaEventCreateWithFlags(e, cudaEventDisableTiming), "cudaEventCreateWithFlags");
        }

        @Override
        public void launch(ByteBuffer args) {
            ncclComm c = communicator;
            if (c == null) throw new IllegalStateException("the ranks have not met, or have lost each other");
            inFlight.remove(this); // A run that failed may have left it.
            address = layout.get(args, "y");
            runtime.check(cudaEventRecord(computed, runtime.cudaStream()), "cudaEventRecord");
            runtime.check(cudaStreamWaitEvent(stream, computed, 0), "cudaStreamWaitEvent");
            Pointer y = CudaRuntime.at(address);
            Nccl.this.check(ncclAllReduce(y, y, elements, type, operation, c, stream), "ncclAllReduce");
            runtime.check(cudaEventRecord(reduced, stream), "cudaEventRecord");
            inFlight.add(this);
        }

        @Override
        public void close() {
            inFlight.remove(this);
            for (CUevent_st e : List.of(computed, reduced))
                if (!e.isNull()) runtime.deferError(cudaEventDestroy(e), "cudaEventDestroy");
        }
    }

    private final class End implements KernelCall {
        private final ArgStruct layout = Kernels.args(AllReduce.END);

        @Override
        public long scratchBytes() {
            return 0;
        }

        @Override
        public void launch(ByteBuffer args) {
            long address = layout.get(args, "y");
            int i = 0;
            while (inFlight.get(i).address != address) i++;
            CUevent_st reduced = inFlight.remove(i).reduced;
            runtime.check(cudaStreamWaitEvent(runtime.cudaStream(), reduced, 0), "cudaStreamWaitEvent");
        }

        @Override
        public void close() {}
    }

    private void check(int result, String call) {
        if (result != ncclSuccess) throw failed(result, call);
    }

    private IllegalStateException failed(int result, String call) {
        String detail = text(ncclGetLastError(communicator));
        return new IllegalStateException(ranks.name() + ": " + call + ": " + text(ncclGetErrorString(result))
                + (detail.isEmpty() ? "" : " (" + detail + ")"));
    }

    private static String text(@Nullable BytePointer p) {
        return p == null ? "" : p.getString().strip();
    }

    /**
     * Asks for an error that came up while the cards worked. After one the communicator is gone, so that no kernel
     * waits any more.
     */
    void check() {
        ncclComm c = communicator;
        if (c == null) return;
        check(ncclCommGetAsyncError(c, state), "ncclCommGetAsyncError");
        if (state[0] == ncclSuccess || state[0] == ncclInProgress) return;
        IllegalStateException e = failed(state[0], "the reduction over the ranks");
        abort();
        throw e;
    }

    /** Waits a moment for work that a query has found unfinished. */
    void pause() {
        cudaGetLastError(); // the query's answer counts as an error
        check();
        LockSupport.parkNanos(PAUSE_NANOS);
    }

    /** Frees the communicator without waiting for the other ranks, which may be lost. */
    private void abort() {
        ncclComm c = communicator;
        communicator = null;
        if (c != null) ncclCommAbort(c);
    }

    /** All ranks must have ended their reductions; what others still wait for never comes. */
    void close() {
        abort();
        runtime.deferError(cudaStreamDestroy(stream), "cudaStreamDestroy");
    }
}
