// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import org.cortigan.jni.Native;

/** Ranks that are threads of this process. */
public final class LocalRanks {
    private final CyclicBarrier barrier;
    private final long[][] sendFrom, sendBytes;
    private volatile boolean aborted;

    private LocalRanks(int size) {
        barrier = new CyclicBarrier(size);
        sendFrom = new long[size][];
        sendBytes = new long[size][];
    }

    /** Runs work on each of {@code size} ranks at once, and returns the results in the order of the ranks. */
    public static <T> List<T> run(int size, Function<Ranks, T> work) {
        LocalRanks all = new LocalRanks(size);
        return run(size, rank -> all.new Local(rank, size), work);
    }

    /**
     * The same over any transport.
     *
     * @param open from the number of a rank to its transport
     */
    public static <T> List<T> run(int size, Function<Integer, Transport> open, Function<Ranks, T> work) {
        ExecutorService threads = Executors.newFixedThreadPool(size);
        try {
            List<Future<T>> results = new ArrayList<>();
            for (int r = 0; r < size; r++) {
                int rank = r;
                Callable<T> one = () -> {
                    try (Ranks ranks = size == 1 ? Ranks.alone() : Ranks.join(() -> open.apply(rank), "host")) {
                        T result = work.apply(ranks);
                        ranks.leave();
                        return result;
                    }
                };
                results.add(threads.submit(one));
            }
            List<T> all = new ArrayList<>();
            for (Future<T> f : results) all.add(f.get());
            return all;
        } catch (ExecutionException e) {
            throw new IllegalStateException("a rank failed: " + e.getCause().getMessage(), e.getCause());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        } finally {
            threads.shutdownNow();
        }
    }

    private final class Local implements Transport {
        private final int rank, size;

        Local(int rank, int size) {
            this.rank = rank;
            this.size = size;
        }

        @Override
        public int rank() {
            return rank;
        }

        @Override
        public int size() {
            return size;
        }

        @Override
        public void exchange(long[] from, long[] bytes, long[] receiveTo, long[] receiveBytes) {
            sendFrom[rank] = from;
            sendBytes[rank] = bytes;
            await();
            for (int q = 0; q < size; q++) {
                if (q == rank) continue;
                if (sendBytes[q][rank] != receiveBytes[q])
                    throw new IllegalStateException("rank " + q + " sends " + sendBytes[q][rank] + " bytes to rank "
                            + rank + ", which expects " + receiveBytes[q]);
                Native.copy(receiveTo[q], sendFrom[q][rank], receiveBytes[q]);
            }
            await();
        }

        private void await() {
            if (aborted) throw new IllegalStateException("a rank is lost");
            try {
                if (aborted) throw new BrokenBarrierException();
                barrier.await();
            } catch (InterruptedException | BrokenBarrierException e) {
                throw new IllegalStateException("a rank is lost", e);
            }
        }

        @Override
        public void abort(int exitCode) {
            aborted = true;
            barrier.reset();
        }

        @Override
        public void close() {}
    }
}
