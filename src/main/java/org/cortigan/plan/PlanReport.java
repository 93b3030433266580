// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.List;
import java.util.Locale;

/**
 * The memory that a plan needs, in bytes.
 *
 * @param steps nodes to run
 * @param buffers number of buffers in the arena
 * @param totalBytes sum of these buffers: the memory needed without reuse
 * @param arenaBytes size of the arena, that is, the peak
 * @param lowerBoundBytes most bytes alive at one step; no layout needs less
 * @param persistentBytes inputs, variables and constants
 * @param peakStep text of the node at which most bytes are alive
 * @param atPeak buffers alive at that node, largest first
 */
public record PlanReport(
        int steps,
        int buffers,
        long totalBytes,
        long arenaBytes,
        long lowerBoundBytes,
        long persistentBytes,
        String peakStep,
        List<Item> atPeak) {
    /** A buffer: the value it was allocated for, and its size. */
    public record Item(String what, long bytes) {}

    /** Arena size over lower bound; 1 is optimal. */
    public double fragmentation() {
        return lowerBoundBytes == 0 ? 1 : (double) arenaBytes / lowerBoundBytes;
    }

    @Override
    public String toString() {
        StringBuilder s = new StringBuilder(String.format(
                Locale.ROOT,
                "%d steps, %d buffers; arena %.1f MiB (lower bound %.1f, ratio %.3f; without reuse %.1f), variables and inputs %.1f MiB%n",
                steps,
                buffers,
                mib(arenaBytes),
                mib(lowerBoundBytes),
                fragmentation(),
                mib(totalBytes),
                mib(persistentBytes)));
        s.append("at the peak, ").append(peakStep).append(':');
        for (Item i : atPeak.subList(0, Math.min(5, atPeak.size())))
            s.append(String.format(Locale.ROOT, "%n  %8.1f MiB  %s", mib(i.bytes), i.what));
        return s.toString();
    }

    private static double mib(long b) {
        return b / 1048576.0;
    }
}
