// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;
import org.jspecify.annotations.Nullable;

/**
 * The processes of a data-parallel run, seen from one of them. A thread of its own makes all calls of the
 * {@link Transport}, in the order in which they are asked for, so that tensors travel while kernels compute. All ranks
 * must ask for the same things in the same order.
 *
 * <p>Sums are taken in the order of the ranks, in double, and rounded once: every rank gets the same bits, in every
 * run. A tensor of n elements moves as two exchanges of n (N - 1) / N elements a rank, as many as a ring all-reduce
 * moves: a rank receives its share from all, adds it up, and sends the sum to all. A small one moves in one exchange.
 *
 * <p>Confined to the thread of the run, but for {@link #abort}.
 */
public final class Ranks implements AutoCloseable {
    /** Tensors up to this many bytes, of all ranks together, move in one exchange: its latency is what they cost. */
    private static final long SMALL = 1 << 16;

    /** Requests that wait at a time, more than a step has. */
    private static final int QUEUE = 4096;

    private static final Ranks ALONE = new Ranks(null);

    /** Null if there is one rank. */
    private final @Nullable Transport transport;

    private final BlockingQueue<Runnable> queue = new ArrayBlockingQueue<>(QUEUE);
    private final int rank, size;
    private final long[] sendFrom, sendBytes, receiveTo, receiveBytes;
    private @Nullable Thread thread;
    private List<String> hosts = List.of("");
    /** What arrives; of the thread alone. */
    private @Nullable Memory parts;

    private volatile @Nullable Throwable failure;
    private boolean closing, left;

    private Ranks(@Nullable Transport transport) {
        this.transport = transport;
        rank = transport == null ? 0 : transport.rank();
        size = transport == null ? 1 : transport.size();
        sendFrom = new long[size];
        sendBytes = new long[size];
        receiveTo = new long[size];
        receiveBytes = new long[size];
    }

    /** One rank, which is the whole run. */
    public static Ranks alone() {
        return ALONE;
    }

    /**
     * Joins a run.
     *
     * @param open opens the transport, on the thread that will use it
     * @param host name of this machine, to find the ranks that share it
     */
    public static Ranks join(Supplier<? extends Transport> open, String host) {
        CompletableFuture<Ranks> made = new CompletableFuture<>();
        Thread t = new Thread(
                () -> {
                    Ranks r;
                    try {
                        r = new Ranks(open.get());
                    } catch (Throwable e) {
                        made.completeExceptionally(e);
                        return;
                    }
                    made.complete(r);
                    r.serve();
                },
                "cortigan-ranks");
        t.setDaemon(true);
        t.start();
        Ranks r = joined(made);
        r.thread = t;
        List<String> hosts = new ArrayList<>();
        for (byte[] b : r.gather(host.getBytes(StandardCharsets.UTF_8)))
            hosts.add(new String(b, StandardCharsets.UTF_8));
        r.hosts = hosts;
        return r;
    }

    private static <T> T joined(CompletableFuture<T> f) {
        try {
            return f.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException r) throw r;
            if (e.getCause() instanceof Error x) throw x;
            throw e;
        }
    }

    /** Number of this rank, from 0 on. */
    public int rank() {
        return rank;
    }

    /** Number of ranks. */
    public int size() {
        return size;
    }

    /** Whether this rank writes the files of the run and speaks for it. */
    public boolean isFirst() {
        return rank == 0;
    }

    /** Number of this rank among those of its machine. */
    public int localRank() {
        return (int)
                hosts.subList(0, rank).stream().filter(hosts.get(rank)::equals).count();
    }

    /** Number of ranks on this machine. */
    public int localSize() {
        return (int) hosts.stream().filter(hosts.get(rank)::equals).count();
    }

    /** Machine of each rank. */
    public List<String> hosts() {
        return List.copyOf(hosts);
    }

    /** For messages: {@code rank 1 of 4 on node7}; "" if there is one rank. */
    public String name() {
        return size == 1 ? "" : "rank " + rank + " of " + size + " on " + hosts.get(rank);
    }

    private void serve() {
        while (!closing) {
            try {
                queue.take().run();
            } catch (Throwable t) {
                if (failure == null) failure = t;
            }
        }
    }

    /** Queues work for the thread. After a failure nothing runs any more, since the ranks are out of step. */
    private void ask(Runnable work) {
        check();
        try {
            queue.put(work);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while the ranks were busy", e);
        }
    }

    /** An interrupted rank ends, and with it the others, which wait for it. */
    private void interrupted() {
        Thread.currentThread().interrupt();
        transport().abort(1);
        throw new IllegalStateException(name() + " was interrupted");
    }

    private void check() {
        Throwable f = failure;
        if (f != null) throw new IllegalStateException(name() + " lost the others: " + f.getMessage(), f);
    }

    private <T> T answer(Supplier<T> work) {
        CompletableFuture<T> f = new CompletableFuture<>();
        ask(() -> {
            try {
                f.complete(work.get());
            } catch (Throwable t) {
                failure = t;
                f.completeExceptionally(t);
            }
        });
        return joined(f);
    }

    private Transport transport() {
        if (transport == null) throw new IllegalStateException("a run of one rank moves nothing");
        return transport;
    }

    private Memory parts(long bytes) {
        Memory m = parts;
        if (m == null || m.bytes() < bytes) {
            if (m != null) m.close();
            parts = null;
            parts = m = Memory.allocate(bytes);
        }
        return m;
    }

    /** A tensor of every rank, of which all want the sum or the mean, as often as asked. */
    public final class Reduction implements Runnable {
        private final long elements;
        private final int width;
        private final double scale;
        private long address;
        private volatile boolean done = true;
        private @Nullable Thread waiting;

        private Reduction(long elements, boolean wide, boolean mean) {
            this.elements = elements;
            width = wide ? Double.BYTES : Float.BYTES;
            scale = mean ? 1.0 / size : 1;
        }

        /**
         * Begins to reduce the tensor at an address, in place. Nobody may touch it until {@link #end}.
         *
         * @param at address in host memory
         */
        public void begin(long at) {
            address = at;
            waiting = Thread.currentThread();
            done = false;
            ask(this);
        }

        /** The address of the last {@link #begin}. */
        public long address() {
            return address;
        }

        /** Waits until the tensor is reduced. */
        public void end() {
            while (!done && failure == null) {
                LockSupport.park(this);
                if (Thread.interrupted()) interrupted();
            }
            check();
        }

        /** Reduces the tensor; for the thread of the ranks. */
        @Override
        public void run() {
            try {
                if (failure == null) reduce();
            } catch (Throwable t) {
                failure = t;
            }
            done = true;
            LockSupport.unpark(waiting);
        }

        private void reduce() {
            boolean small = elements * width * size <= SMALL;
            long slice = small ? elements : (elements + size - 1) / size;
            long own = small ? address : part(rank, slice),
                    ownBytes = small ? elements * width : partBytes(rank, slice);
            long at = parts((size - 1) * slice * width).address();
            for (int q = 0; q < size; q++) {
                sendFrom[q] = small ? address : part(q, slice);
                sendBytes[q] = small ? ownBytes : partBytes(q, slice);
                receiveTo[q] = own;
                receiveBytes[q] = ownBytes;
                if (q == rank) continue;
                receiveTo[q] = at;
                at += slice * width;
            }
            transport().exchange(sendFrom, sendBytes, receiveTo, receiveBytes);
            Native.add_parts(own, receiveTo, size, ownBytes / width, width == Double.BYTES, scale);
            if (small) return;
            for (int q = 0; q < size; q++) {
                sendFrom[q] = own;
                sendBytes[q] = ownBytes;
                receiveTo[q] = part(q, slice);
                receiveBytes[q] = partBytes(q, slice);
            }
            transport().exchange(sendFrom, sendBytes, receiveTo, receiveBytes);
        }

        private long part(int q, long slice) {
            return address + Math.min(q * slice, elements) * width;
        }

        private long partBytes(int q, long slice) {
            return (Math.min((q + 1) * slice, elements) - Math.min(q * slice, elements)) * width;
        }
    }

    /**
     * A reduction of tensors of this size.
     *
     * @param wide whether the elements are double, not float
     * @param mean whether the mean is wanted, not the sum
     */
    public Reduction reduction(long elements, boolean wide, boolean mean) {
        return new Reduction(elements, wide, mean);
    }

    /** The bytes of every rank, in the order of the ranks. */
    public List<byte[]> gather(byte[] own) {
        if (size == 1) return List.of(own);
        return answer(() -> {
            int[] sizes = new int[size];
            List<byte[]> head = gather(ints(own.length), filled(Integer.BYTES));
            for (int q = 0; q < size; q++) sizes[q] = number(head.get(q));
            return gather(own, sizes);
        });
    }

    private static byte[] ints(int value) {
        return ByteBuffer.allocate(Integer.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array();
    }

    private static int number(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt();
    }

    private int[] filled(int value) {
        int[] a = new int[size];
        Arrays.fill(a, value);
        return a;
    }

    private List<byte[]> gather(byte[] own, int[] sizes) {
        long all = 0;
        for (int s : sizes) all += s;
        try (Memory m = Memory.allocate(own.length + all)) {
            m.view(0, own.length).put(own);
            long at = m.address() + own.length;
            for (int q = 0; q < size; q++) {
                sendFrom[q] = m.address();
                sendBytes[q] = own.length;
                receiveTo[q] = at;
                receiveBytes[q] = sizes[q];
                at += sizes[q];
            }
            Native.copy(receiveTo[rank], m.address(), own.length);
            transport().exchange(sendFrom, sendBytes, receiveTo, receiveBytes);
            List<byte[]> got = new ArrayList<>();
            long offset = own.length;
            for (int s : sizes) {
                byte[] b = new byte[s];
                m.view(offset, s).get(b);
                got.add(b);
                offset += s;
            }
            return got;
        }
    }

    /** The bytes of rank 0; those of other ranks are not read. */
    public byte[] fromFirst(byte[] own) {
        return size == 1 ? own : gather(isFirst() ? own : new byte[0]).get(0);
    }

    /**
     * Overwrites a block of host memory with that of rank 0.
     *
     * @param direct the same size on every rank
     */
    public void fromFirst(ByteBuffer direct) {
        if (size == 1) return;
        long at = Memory.address(direct);
        int n = direct.remaining();
        answer(() -> {
            for (int q = 0; q < size; q++) {
                sendFrom[q] = receiveTo[q] = at;
                sendBytes[q] = isFirst() && q > 0 ? n : 0;
                receiveBytes[q] = !isFirst() && q == 0 ? n : 0;
            }
            transport().exchange(sendFrom, sendBytes, receiveTo, receiveBytes);
            return true;
        });
    }

    /** The largest of the ranks' numbers. */
    public int largest(int own) {
        if (size == 1) return own;
        int largest = own;
        for (byte[] b : answer(() -> gather(ints(own), filled(Integer.BYTES)))) largest = Math.max(largest, number(b));
        return largest;
    }

    /** Returns once all ranks have called it. */
    public void barrier() {
        if (size > 1) largest(0);
    }

    /** Ends all ranks, after this one has failed; any thread may call it. */
    public void abort(int exitCode) {
        if (transport != null) transport.abort(exitCode);
    }

    /** Leaves the run in an orderly way, after the last request; every rank must. */
    public void leave() {
        if (transport == null || left) return;
        left = true;
        end(true);
    }

    /** Ends all ranks, unless this one has left: it comes here by an exception, and the others wait for it. */
    @Override
    public void close() {
        if (transport == null || left) return;
        left = true;
        transport.abort(1);
        end(false);
    }

    private void end(boolean orderly) {
        try {
            queue.put(() -> {
                closing = true;
                try {
                    if (orderly && failure == null) transport().close();
                } finally {
                    if (parts != null) parts.close();
                }
            });
            if (thread != null) thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
