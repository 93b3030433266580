// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.cortigan.exec.Device;
import org.cortigan.mem.Memory;

/**
 * Prepares the batches of a run ahead of it on a thread of its own. What is in a batch depends on seed and step alone:
 * every epoch goes through the photographs in a new order; what does not fill a batch at its end is left out.
 */
final class BatchLoader implements AutoCloseable {
    /** A batch in memory from which the device is fed. */
    static final class Batch {
        final ByteBuffer images;
        final ByteBuffer responses;
        /** Positions of the photographs, and of their responses, among those trained on. */
        final int[] at;

        final int[] responsesAt;
        private final Memory memory;
        long step;

        Batch(Device device, int batch, int imageBytes, int responseBytes) {
            at = new int[batch];
            responsesAt = new int[batch];
            memory = device.allocateHost(Math.multiplyExact((long) imageBytes + responseBytes, batch));
            responses = memory.view(0, (long) batch * responseBytes);
            images = memory.view((long) batch * responseBytes, (long) batch * imageBytes);
        }
    }

    private static final int AHEAD = 3;

    private final TrainingData data;
    private final int[] indices;
    private final boolean resident;
    private final boolean shufflePairs;
    private final int batch;
    private final long seed;
    private final ArrayBlockingQueue<Batch> free = new ArrayBlockingQueue<>(AHEAD);
    private final ArrayBlockingQueue<Batch> full = new ArrayBlockingQueue<>(AHEAD);
    private final List<Batch> all = new ArrayList<>();
    private final Thread thread;
    private volatile Throwable failure;

    /**
     * @param indices photographs to train on
     * @param resident whether the data are on the device, so that a batch is its positions alone
     * @param shufflePairs whether each photograph gets another one's responses, a new one's in every epoch
     * @param first step to begin with; @param last step to end before
     */
    BatchLoader(
            Device device,
            TrainingData data,
            int[] indices,
            boolean resident,
            boolean shufflePairs,
            int imageBytes,
            int batch,
            long seed,
            long first,
            long last) {
        this.data = data;
        this.indices = indices.clone();
        this.batch = batch;
        this.seed = seed;
        this.shufflePairs = shufflePairs;
        this.resident = resident;
        int responseBytes = 4 * (data.leftVertices() + data.rightVertices());
        try {
            for (int i = 0; i < AHEAD; i++)
                all.add(new Batch(device, batch, resident ? 0 : imageBytes, resident ? 0 : responseBytes));
        } catch (RuntimeException | Error e) {
            all.forEach(b -> b.memory.close());
            throw e;
        }
        free.addAll(all);
        thread = new Thread(() -> load(first, last), "cortigan-batches");
        thread.setDaemon(true);
        thread.start();
    }

    static long stepsPerEpoch(int images, int batch) {
        return images / batch;
    }

    /** Order of the photographs in an epoch. */
    static int[] order(int n, long seed, long epoch) {
        int[] o = new int[n];
        for (int i = 0; i < n; i++) o[i] = i;
        shuffle(o, new SplittableRandom(seed * 0x9E3779B97F4A7C15L + epoch));
        return o;
    }

    static void shuffle(int[] o, SplittableRandom r) {
        for (int i = o.length - 1; i > 0; i--) {
            int j = r.nextInt(i + 1), t = o[i];
            o[i] = o[j];
            o[j] = t;
        }
    }

    /** A permutation that leaves nothing in its place: one cycle through all in random order. */
    static int[] derangement(int n, long seed) {
        int[] o = order(n, ~seed, 0), d = new int[n];
        for (int i = 0; i < n; i++) d[o[i]] = o[(i + 1) % n];
        return d;
    }

    private void load(long first, long last) {
        try {
            long per = stepsPerEpoch(indices.length, batch), epoch = -1;
            int[] order = null, partner = null;
            for (long s = first; s < last; s++) {
                if (s / per != epoch) {
                    order = order(indices.length, seed, epoch = s / per);
                    if (shufflePairs) partner = derangement(indices.length, seed + epoch);
                }
                Batch b = free.take();
                b.images.clear();
                b.responses.clear();
                for (int k = 0; k < batch; k++) {
                    int at = order[(int) (s % per) * batch + k], other = partner == null ? at : partner[at];
                    b.at[k] = at;
                    b.responsesAt[k] = other;
                    if (resident) continue;
                    data.image(indices[at], b.images);
                    data.responses(indices[other], b.responses);
                }
                b.images.flip();
                b.responses.flip();
                b.step = s;
                full.put(b);
            }
        } catch (InterruptedException e) {
            // closed
        } catch (Throwable t) {
            failure = t;
        }
    }

    /** The next batch; give it back with {@link #done}. */
    Batch next() {
        try {
            while (true) {
                Batch b = full.poll(50, TimeUnit.MILLISECONDS);
                if (b != null) return b;
                Throwable f = failure;
                if (f instanceof RuntimeException r) throw r;
                if (f instanceof Error e) throw e;
                if (f != null) throw new IllegalStateException(f);
                if (!thread.isAlive() && full.isEmpty()) throw new IllegalStateException("there are no more batches");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while waiting for a batch", e);
        }
    }

    void done(Batch b) {
        free.add(b);
    }

    @Override
    public void close() {
        thread.interrupt();
        boolean interrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException e) {
                interrupted = true; // the thread still writes to memory that is to be freed
            }
        }
        for (Batch b : all) b.memory.close();
        if (interrupted) Thread.currentThread().interrupt();
    }
}
