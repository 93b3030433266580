// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;

/** The end of processes, of those too that are not children of this one. */
public final class Processes {
    private Processes() {}

    /**
     * Whether a process still runs. One that has ended and waits to be collected does not, although
     * {@link ProcessHandle#isAlive()} says so: who inherits an orphan, such as the first process of a container, may
     * never collect it.
     */
    public static boolean runs(ProcessHandle p) {
        if (!p.isAlive()) return false;
        try {
            // "PID (NAME) STATE ...", see proc(5). The name may contain anything.
            String stat = Files.readString(Path.of("/proc", Long.toString(p.pid()), "stat"));
            return stat.charAt(stat.lastIndexOf(')') + 2) != 'Z';
        } catch (IOException e) {
            return p.isAlive();
        }
    }

    /** Waits until the processes have ended, and returns those that still run after the limit. */
    public static List<ProcessHandle> awaitEnd(Collection<ProcessHandle> processes, Duration limit) {
        long end = System.nanoTime() + limit.toNanos();
        List<ProcessHandle> left = processes.stream().filter(Processes::runs).toList();
        while (!left.isEmpty() && System.nanoTime() < end) {
            try {
                Thread.sleep(10);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            left = left.stream().filter(Processes::runs).toList();
        }
        return left;
    }
}
