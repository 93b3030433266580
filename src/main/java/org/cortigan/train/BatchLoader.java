// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.cortigan.exec.Device;
import org.cortigan.jni.Memory;
import org.cortigan.nn.Shard;
import org.jspecify.annotations.Nullable;

/**
 * Prepares batches ahead of the training loop, on its own thread. The content of a batch depends on the seed and the
 * step alone. Every epoch visits the photographs in a new random order and drops the last incomplete batch.
 */
final class BatchLoader implements AutoCloseable {
    /** A batch in host memory that the device copies from. */
    static final class Batch {
        /** Empty if a step takes no photographs. */
        final ByteBuffer images;

        /** Empty if a step takes no features. */
        final ByteBuffer features;

        final ByteBuffer responses;
        /** Indices of the photographs among the training photographs. */
        final int[] imageRows;

        /** Indices of the responses among the training photographs; differ from imageRows for shuffled pairs. */
        final int[] responseRows;

        /** Random numbers of the photographs, see {@link TrainingNoise}; unused without noise. */
        final int[] noiseRows, timesteps;

        private final Memory memory;

        Batch(Device device, int batch, int imageBytes, int featureBytes, int responseBytes) {
            imageRows = new int[batch];
            responseRows = new int[batch];
            noiseRows = new int[2 * batch];
            timesteps = new int[batch];
            long first = (long) batch * responseBytes, second = first + (long) batch * featureBytes;
            memory = device.allocateHost(second + (long) batch * imageBytes);
            responses = memory.view(0, first);
            features = memory.view(first, second - first);
            images = memory.view(second, (long) batch * imageBytes);
        }
    }

    /**
     * How a data set is divided into batches.
     *
     * @param images indices of the photographs to train on
     * @param batch photographs per batch, of all ranks
     * @param microBatch photographs per micro-batch, of all ranks
     * @param shard the part of every micro-batch that is loaded
     * @param side side of the photographs, in pixels
     * @param resident whether the data are on the device, so that a batch consists of row indices only
     * @param shufflePairs whether each photograph gets the responses to another photograph, a new one in every epoch
     * @param augmentation random changes of the photographs, other ones in every epoch; off if the data are resident
     * @param noise of the responses; null for none
     */
    record Batching(
            int[] images,
            int batch,
            int microBatch,
            Shard shard,
            int side,
            boolean resident,
            boolean shufflePairs,
            Augmentation augmentation,
            long seed,
            @Nullable TrainingNoise noise) {
        /** Photographs per batch that are loaded. */
        int share() {
            return batch / shard.ranks();
        }

        /** Bytes per photograph. */
        int imageBytes() {
            return 3 * side * side;
        }

        /** Batches per epoch, without the last incomplete one. */
        long stepsPerEpoch() {
            return images.length / batch;
        }
    }

    /**
     * What a step takes of a photograph, beside the responses.
     *
     * @param photographs whether it takes the photograph itself
     * @param featureBytes bytes of its features; 0 if it takes none
     * @param features gives them; null if there are none, or to leave them 0
     */
    record Content(boolean photographs, int featureBytes, FeatureCache.@Nullable Reader features) {
        /** Photographs alone. */
        static final Content PHOTOGRAPHS = new Content(true, 0, null);
    }

    /** Batches that exist at a time: ready, being filled or in use. */
    static final int AHEAD = 3;

    private final TrainingData data;
    private final Batching batching;
    private final Content content;
    private final ArrayBlockingQueue<Batch> free = new ArrayBlockingQueue<>(AHEAD);
    private final ArrayBlockingQueue<Batch> full = new ArrayBlockingQueue<>(AHEAD);
    private final List<Batch> all = new ArrayList<>();
    /** A photograph before its augmentation. */
    private final byte[] photograph;

    private final Thread thread;
    private volatile @Nullable Throwable failure;

    /**
     * Starts the thread.
     *
     * @param first first step
     * @param last step after the last one
     */
    BatchLoader(Device device, TrainingData data, Batching batching, Content content, long first, long last) {
        this.data = data;
        this.batching = batching;
        this.content = content;
        photograph = new byte[batching.augmentation.isOn() ? batching.imageBytes() : 0];
        int imageBytes = batching.resident || !content.photographs ? 0 : batching.imageBytes();
        int featureBytes = batching.resident ? 0 : content.featureBytes;
        int responseBytes = batching.resident ? 0 : 4 * (data.leftVertices() + data.rightVertices());
        try {
            for (int i = 0; i < AHEAD; i++)
                all.add(new Batch(device, batching.share(), imageBytes, featureBytes, responseBytes));
        } catch (RuntimeException | Error e) {
            all.forEach(b -> b.memory.close());
            throw e;
        }
        free.addAll(all);
        thread = new Thread(() -> load(first, last), "cortigan-batches");
        thread.setDaemon(true);
        thread.start();
    }

    private void load(long first, long last) {
        try {
            int n = batching.images.length;
            long perEpoch = batching.stepsPerEpoch(), epoch = -1;
            int[] order = {};
            int[] partner = null;
            for (long step = first; step < last; step++) {
                if (step / perEpoch != epoch) {
                    epoch = step / perEpoch;
                    order = Permutations.order(n, batching.seed, epoch);
                    partner = batching.shufflePairs ? Permutations.derangement(n, batching.seed + epoch) : null;
                }
                Batch b = free.take();
                fill(b, order, epoch, (int) (step % perEpoch) * batching.batch, partner);
                full.put(b);
            }
        } catch (InterruptedException e) {
            // close() interrupts the thread.
        } catch (Throwable t) {
            failure = t;
        }
    }

    /**
     * Fills a batch.
     *
     * @param first position of the batch in {@code order}
     * @param partner for each photograph the one whose responses it gets; null for its own
     */
    private void fill(Batch b, int[] order, long epoch, int first, int @Nullable [] partner) {
        b.images.clear();
        b.features.clear();
        b.responses.clear();
        for (int k = 0; k < batching.share(); k++) {
            int image = order[first + batching.shard.place(k, batching.microBatch)],
                    response = partner == null ? image : partner[image];
            b.imageRows[k] = image;
            b.responseRows[k] = response;
            if (batching.resident) continue;
            if (content.photographs) image(batching.images[image], epoch, b.images);
            if (content.features != null) content.features.read(batching.images[image], b.features);
            data.responses(batching.images[response], b.responses);
        }
        if (batching.noise != null) batching.noise.fill(b.imageRows, epoch, b.noiseRows, b.timesteps);
        b.images.flip();
        b.features.rewind();
        b.responses.flip();
    }

    /** Writes a photograph as an epoch sees it. */
    private void image(int i, long epoch, ByteBuffer into) {
        if (!batching.augmentation.isOn()) {
            data.image(i, into);
            return;
        }
        data.image(i, ByteBuffer.wrap(photograph));
        SplittableRandom random = new SplittableRandom(RandomKey.of(RandomKey.of(batching.seed, epoch), i));
        batching.augmentation.apply(photograph, batching.side, random, into);
    }

    /** Waits for the next batch. Return the batch with {@link #done}. */
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

    /** Returns a batch, which is then filled again. */
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
                interrupted = true; // Keep waiting: the thread still writes to the memory that is freed below.
            }
        }
        for (Batch b : all) b.memory.close();
        if (interrupted) Thread.currentThread().interrupt();
    }
}
