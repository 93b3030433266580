// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.cortigan.InputException;
import org.cortigan.io.Json;

/**
 * A process that runs items and reports on its standard output, mixed with its log:
 *
 * <pre>
 * &#64;begin NAME   an item begins; a process that dies or hangs before the next protocol line did so in this item
 * &#64;line {...}   a result, one line of JSON
 * &#64;fatal NAME   the item destroyed the device's context: the process exits and another one runs the rest
 * </pre>
 *
 * Exit status 0 means that every item was run, whatever the results.
 */
final class Child {
    /** Seconds that a process may take until its first item; its libraries may come from a cold disk. */
    private static final double START = 45;

    /** How a process ended; in an item, or before the first. */
    enum End {
        DONE,
        /** It failed, was killed or printed {@code @fatal}. */
        DIED,
        /** It printed no protocol line for as long as an item may take. */
        HUNG,
        /** The stage ran out of time. */
        OUT_OF_TIME
    }

    /**
     * @param item the item in which the process ended, or null
     * @param why the reason, as text
     * @param summary the last line with "ERROR SUMMARY" or "RACECHECK SUMMARY", as compute-sanitizer prints it, or null
     */
    record Outcome(End end, String item, String why, String summary) {}

    private final List<String> command;
    private final Results results;
    private volatile long lastProtocolLine = System.nanoTime();
    private volatile String item;
    private volatile String lastText = "";
    private volatile String summary;

    private Child(List<String> command, Results results) {
        this.command = command;
        this.results = results;
    }

    /**
     * Runs a process until it ends, or kills it when it takes too long.
     *
     * @param patience seconds without a protocol line after which the process counts as hung, once its first item has
     *     begun
     * @param deadline {@link System#nanoTime} of the stage's end
     */
    static Outcome run(
            List<String> command, Map<String, String> environment, double patience, long deadline, Results results)
            throws InterruptedException {
        return new Child(command, results).run(environment, patience, deadline);
    }

    private Outcome run(Map<String, String> environment, double patience, long deadline) throws InterruptedException {
        results.log("== " + String.join(" ", command) + "\n");
        Process p;
        try {
            ProcessBuilder b = new ProcessBuilder(command).redirectErrorStream(true);
            b.environment().putAll(environment);
            p = b.start();
            p.getOutputStream().close();
        } catch (IOException e) {
            return new Outcome(End.DIED, null, e.getMessage(), null);
        }
        Thread reader = new Thread(() -> read(p), "reader");
        reader.setDaemon(true);
        reader.start();
        End end = End.DIED;
        try {
            end = await(p, patience, deadline);
        } finally {
            if (p.isAlive()) kill(p, end == End.HUNG);
        }
        reader.join(2000); // takes longer only if a surviving child process holds the pipe
        if (end == End.OUT_OF_TIME) return new Outcome(end, item, "the stage ran out of time", summary);
        if (end == End.HUNG)
            return new Outcome(end, item, "no progress for " + Math.round(patience(patience)) + " s", summary);
        int status = p.exitValue();
        if (status == 0) return new Outcome(End.DONE, null, "", summary);
        return new Outcome(End.DIED, item, "exit " + status + ": " + lastText, summary);
    }

    private End await(Process p, double patience, long deadline) throws InterruptedException {
        while (!p.waitFor(20, TimeUnit.MILLISECONDS)) {
            long now = System.nanoTime();
            if (now - deadline > 0) return End.OUT_OF_TIME;
            if (now - lastProtocolLine > patience(patience) * 1e9) return End.HUNG;
        }
        return End.DIED;
    }

    private double patience(double ofItem) {
        return item == null ? Math.max(ofItem, START) : ofItem;
    }

    private void read(Process p) {
        try (BufferedReader in =
                new BufferedReader(new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8))) {
            for (String s = in.readLine(); s != null; s = in.readLine()) take(s);
        } catch (IOException | UncheckedIOException e) {
            results.log("cannot read the process's output: " + e + "\n");
        }
    }

    private void take(String s) {
        if (s.startsWith("@begin ")) {
            lastProtocolLine = System.nanoTime();
            item = s.substring(7);
            results.log(s + "\n");
        } else if (s.startsWith("@line ")) {
            lastProtocolLine = System.nanoTime();
            try {
                results.add(Json.object(Json.parse(s.substring(6), "line"), "line"));
            } catch (InputException e) {
                results.log(s + "\n");
                results.add(Results.map(
                        "stage",
                        "ended",
                        "name",
                        "protocol",
                        "why",
                        "a line is not JSON, see log.txt: " + e.getMessage()));
            }
        } else {
            if (s.startsWith("@fatal ")) lastText = "the device's context is lost";
            else if (!s.isBlank() && !s.matches("\\s+(at |\\.\\.\\. ).*"))
                lastText = s.length() > 300 ? s.substring(0, 300) : s;
            if (s.contains("ERROR SUMMARY") || s.contains("RACECHECK SUMMARY")) summary = s;
            results.log(s + "\n");
        }
    }

    /** Kills a process and its descendants; with {@code dumpThreads}, JVMs first print their threads' stacks. */
    private static void kill(Process p, boolean dumpThreads) throws InterruptedException {
        List<ProcessHandle> all = new ArrayList<>(p.descendants().toList());
        all.add(p.toHandle());
        if (dumpThreads)
            try {
                for (ProcessHandle h : all)
                    if (h.info().command().orElse("").endsWith("/java"))
                        new ProcessBuilder("kill", "-QUIT", "" + h.pid())
                                .start()
                                .waitFor();
                Thread.sleep(500);
            } catch (IOException e) {
                // then without the stacks
            }
        all.forEach(ProcessHandle::destroyForcibly);
        p.waitFor(3, TimeUnit.SECONDS); // a kernel that never ends may keep it alive
    }
}
