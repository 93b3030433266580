// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/**
 * Does runs of a comparison in processes. A process writes what it prints to {@value #LOG} in its run's folder. A
 * signal to this JVM is passed on, and the JVM ends when all processes have ended. Processes read a pipe that ends when
 * this JVM dies in any other way.
 */
final class ComparisonProcesses {
    static final String LOG = "log.txt";
    private static final int TAIL_LINES = 5, TAIL_BYTES = 8 << 10;
    /** A process that a signal ended has this exit code plus the signal's number. */
    private static final int SIGNALLED = 128;

    private static final int KILL = 9;

    private final ParallelRuns parallel;
    private final Consumer<String> log;
    private final Runnable afterEach;
    private final Set<Process> processes = new HashSet<>();
    private boolean stopped;
    private int ended;

    /**
     * @param log receives a line when a run begins or ends
     * @param afterEach called when a run has ended, by one thread at a time
     */
    ComparisonProcesses(ParallelRuns parallel, Consumer<String> log, Runnable afterEach) {
        this.parallel = parallel;
        this.log = log;
        this.afterEach = afterEach;
    }

    /**
     * Does the runs, which have no result yet, in their order.
     *
     * @return whether all have ended; false if a signal stopped them
     */
    boolean run(List<ComparisonRun> runs) {
        if (runs.isEmpty()) return true;
        int most = Math.min(parallel.most(), runs.size());
        log.accept(runs.size() + (runs.size() == 1 ? " run, " : " runs, ") + most + " at once, each on "
                + parallel.threads()
                + (parallel.threads() == 1 ? " thread" : " threads") + "; what they print is in " + LOG
                + " of their folders");
        Thread hook = new Thread(this::stop);
        if (!ShutdownHook.add(hook)) return false;
        ExecutorService pool = Executors.newFixedThreadPool(most);
        try {
            Queue<ComparisonRun> queue = new ConcurrentLinkedQueue<>(runs);
            List<Future<?>> places = new ArrayList<>();
            for (int i = 0; i < most; i++) {
                int place = i;
                places.add(pool.submit(() -> work(queue, place, runs.size())));
            }
            for (Future<?> f : places) f.get();
            return !isStopped();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException r) throw r;
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            stop();
            pool.shutdown();
            ShutdownHook.remove(hook);
        }
    }

    private void work(Queue<ComparisonRun> queue, int place, int all) {
        for (ComparisonRun r; (r = queue.poll()) != null; ) {
            Path file = r.folder().resolve(LOG);
            long begin = System.nanoTime(), from = file.toFile().length();
            Process p;
            try {
                p = start(r, place, file);
            } catch (InputException e) {
                synchronized (this) {
                    r.fail(e);
                    ended(r, List.of(), Duration.ZERO, all);
                }
                continue;
            }
            if (p == null) return;
            int code = p.onExit().join().exitValue();
            List<String> tail = tail(file, from);
            synchronized (this) {
                processes.remove(p);
                if (stopped) return;
                r.readResult();
                r.readFailure();
                if (!r.isFinished() && !r.hasFailed())
                    r.fail("its process " + cause(code) + (tail.isEmpty() ? "" : ": " + tail.get(tail.size() - 1)));
                ended(r, tail, Duration.ofNanos(System.nanoTime() - begin), all);
            }
        }
    }

    /** Starts the process of a run; null if a signal has come. */
    private synchronized @Nullable Process start(ComparisonRun r, int place, Path file) {
        if (stopped) return null;
        AtomicFiles.createFolder(r.folder());
        String device = parallel.device(place);
        try {
            Process p = new ProcessBuilder(parallel.command().of(r.label(), device))
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(file.toFile()))
                    .start();
            processes.add(p);
            log.accept(r.label() + ": started on " + device);
            return p;
        } catch (IOException e) {
            throw new InputException(
                    "its process",
                    "cannot be started: " + InputFiles.reason(e),
                    "Check the JDK, the disk and the number of processes, or leave --parallel out",
                    e);
        }
    }

    private synchronized void ended(ComparisonRun r, List<String> tail, Duration time, int all) {
        String count = " (" + ++ended + " of " + all + ")";
        if (r.hasFailed()) {
            log.accept(r.label() + " failed after " + text(time) + count + ": " + r.error());
            if (!tail.isEmpty()) log.accept("the last lines of " + r.folder().resolve(LOG) + ":");
            tail.forEach(line -> log.accept("  | " + line));
        } else {
            log.accept(r.label() + ": done in " + text(time) + count);
        }
        afterEach.run();
    }

    private static String cause(int code) {
        if (code <= SIGNALLED) return "ended with exit code " + code;
        int signal = code - SIGNALLED;
        return "was ended by signal " + signal + (signal == KILL ? ", often for want of memory" : "");
    }

    private static String text(Duration d) {
        return String.format(Locale.ROOT, "%d:%02d:%02d", d.toHours(), d.toMinutesPart(), d.toSecondsPart());
    }

    /** The last lines that a process has printed. */
    private static List<String> tail(Path file, long from) {
        try (InputStream in = Files.newInputStream(file)) {
            in.skipNBytes(Math.max(from, Files.size(file) - TAIL_BYTES));
            byte[] bytes = in.readNBytes(TAIL_BYTES);
            List<String> lines =
                    new String(bytes, StandardCharsets.UTF_8).strip().lines().toList();
            return lines.subList(Math.max(0, lines.size() - TAIL_LINES), lines.size());
        } catch (IOException e) {
            return List.of();
        }
    }

    /** Stops all processes by the signal that makes trainings write a checkpoint, and waits until they have ended. */
    private void stop() {
        List<Process> rest;
        synchronized (this) {
            stopped = true;
            rest = List.copyOf(processes);
        }
        if (!rest.isEmpty()) log.accept("stopping " + rest.size() + " runs; repeat the command to continue");
        rest.forEach(p -> p.toHandle().destroy());
        rest.forEach(p -> p.onExit().join());
    }

    private synchronized boolean isStopped() {
        return stopped;
    }
}
