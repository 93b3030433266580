// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.spark.broadcast.Broadcast;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;

/**
 * The only predictor of an executor with these settings. All tasks share it: a thread of its own runs their batches one
 * after the other, on as many cores as the settings say, while the tasks decode photographs. So the parameters are in
 * memory once, however many cores the executor has.
 */
final class ExecutorPredictor {
    /** Predictors without a task that are kept for the next one; more would fill the memory of a long session. */
    private static final int IDLE = 1;

    private static final long CLOSING_SECONDS = 10;

    /**
     * What makes predictors equal.
     *
     * @param subject of a model of several subjects; "" otherwise
     * @param batch photographs that are predicted at once
     * @param device as {@link Devices#open} takes it
     * @param threads of a CPU device, 0 for all cores
     */
    record Settings(ModelFile model, String subject, int batch, String device, int threads) implements Serializable {}

    /** Those of this JVM, the least recently acquired first. */
    private static final Map<Settings, ExecutorPredictor> OPEN = new LinkedHashMap<>();

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(ExecutorPredictor::closeAll));
    }

    private final ExecutorService thread;
    private final Device device;
    private final Predictor predictor;
    private final int side;
    private int users;

    private ExecutorPredictor(Settings s, List<Broadcast<byte[]>> pieces) {
        // The thread comes first, because it owns what it opens.
        thread = Executors.newSingleThreadExecutor(work -> {
            Thread t = new Thread(work, "cortigan-predictor");
            t.setDaemon(true);
            return t;
        });
        try {
            Model model = s.model.load(pieces);
            side = model.config().generator().image();
            device = on(() -> Devices.open(s.device, s.threads, System.err::println));
            predictor = opened(() -> model.predictor(device, s.batch, s.subject));
        } catch (RuntimeException | Error e) {
            thread.shutdown();
            throw e;
        }
    }

    private Predictor opened(Callable<Predictor> open) {
        try {
            return on(open);
        } catch (RuntimeException | Error e) {
            on(Executors.callable((Runnable) device::close));
            throw e;
        }
    }

    /**
     * The predictor of these settings, for a task that ends with {@link #release}.
     *
     * @param pieces as {@link ModelFile#load} takes them
     * @throws org.cortigan.InputException if the model or the device cannot be opened here
     */
    static ExecutorPredictor acquire(Settings settings, List<Broadcast<byte[]>> pieces) {
        synchronized (OPEN) {
            ExecutorPredictor p = OPEN.remove(settings);
            if (p == null) p = new ExecutorPredictor(settings, pieces);
            OPEN.put(settings, p);
            p.users++;
            return p;
        }
    }

    /** Ends the use by a task. */
    void release() {
        synchronized (OPEN) {
            users--;
            List<Settings> idle = new ArrayList<>();
            OPEN.forEach((settings, p) -> {
                if (p.users == 0) idle.add(settings);
            });
            for (Settings s : idle.subList(0, Math.max(0, idle.size() - IDLE))) close(s);
        }
    }

    private static void closeAll() {
        synchronized (OPEN) {
            for (Settings s : List.copyOf(OPEN.keySet())) close(s);
        }
    }

    private static void close(Settings s) {
        ExecutorPredictor p = OPEN.remove(s);
        if (p != null) p.close();
    }

    private void close() {
        thread.execute(() -> {
            predictor.close();
            device.close();
        });
        thread.shutdown();
        try {
            if (!thread.awaitTermination(CLOSING_SECONDS, TimeUnit.SECONDS)) thread.shutdownNow();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Photographs per batch. */
    int batch() {
        return predictor.batch();
    }

    /** Side of the photographs, in pixels. */
    int side() {
        return side;
    }

    /** Bytes of a photograph. */
    int imageBytes() {
        return predictor.imageBytes();
    }

    /** Numbers of a prediction. */
    int columns() {
        return predictor.columns();
    }

    /**
     * Predicts n photographs, 1 to {@link #batch}.
     *
     * @param rgb u8 [n, S, S, 3]
     * @return measured responses [n, columns]
     */
    float[] predict(byte[] rgb) {
        return on(() -> predictor.predict(rgb));
    }

    private <T> T on(Callable<T> work) {
        Future<T> future = thread.submit(work);
        try {
            return future.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException r) throw r;
            if (e.getCause() instanceof Error r) throw r;
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            future.cancel(false);
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Spark has cancelled the task", e);
        }
    }
}
