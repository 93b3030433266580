// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProcessesTest {
    private static ProcessHandle child(Process parent) throws Exception {
        BufferedReader in = parent.inputReader();
        return ProcessHandle.of(Long.parseLong(in.readLine())).orElseThrow();
    }

    /** A shell that starts a child, prints its number, and becomes a program that collects no children. */
    private static Process start(String command) throws Exception {
        return new ProcessBuilder("sh", "-c", command + " & echo $!; exec sleep 60").start();
    }

    @Test
    void aProcessThatNobodyCollectsHasEnded() throws Exception {
        Process parent = start("sleep 0.3");
        try {
            ProcessHandle child = child(parent);
            assertEquals(List.of(), Processes.awaitEnd(List.of(child), Duration.ofSeconds(20)));
            assertTrue(child.isAlive(), "it was collected");
            assertFalse(Processes.runs(child));
        } finally {
            parent.destroyForcibly().waitFor();
        }
    }

    @Test
    void aProcessThatRunsHasNotEnded() throws Exception {
        Process parent = start("sleep 60");
        ProcessHandle child = child(parent);
        try {
            assertEquals(List.of(child), Processes.awaitEnd(List.of(child), Duration.ofMillis(50)));
            assertTrue(Processes.runs(child));
            // An orphan ends, too.
            parent.destroyForcibly().waitFor();
            child.destroyForcibly();
            assertEquals(List.of(), Processes.awaitEnd(List.of(child), Duration.ofSeconds(20)));
        } finally {
            parent.destroyForcibly();
            child.destroyForcibly();
        }
    }
}
