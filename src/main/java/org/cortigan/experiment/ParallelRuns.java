// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.exec.Devices;
import org.cortigan.jni.HostMemory;

/**
 * How runs are done in processes, several at once.
 *
 * @param most number of processes at once, at least 1
 * @param threads CPU threads of each
 * @param devices a card for each process, or the processor, which they share: names for {@link Devices#open}
 * @param command of a process
 */
public record ParallelRuns(int most, int threads, List<String> devices, Command command) {
    private static final double GIB = 1 << 30;

    /** Makes the command of a process. */
    @FunctionalInterface
    public interface Command {
        /**
         * The program and its arguments. The program has to do as {@link Comparison#runOnly} for the run, and to end
         * when its standard input ends.
         *
         * @param run name of the run
         * @param device name of the device
         */
        List<String> of(String run, String device);
    }

    /** @throws InputException if {@code most} is below 1 or above the number of cards */
    public ParallelRuns {
        if (most < 1) throw new InputException("--parallel " + most, "is below 1", "Give the number of runs at once");
        if (!isOnProcessor(devices) && most > devices.size())
            throw new InputException(
                    "--parallel " + most,
                    "needs a card for each run, and has " + String.join(", ", devices),
                    "Use --parallel " + devices.size() + ", or --device cpu");
    }

    private static boolean isOnProcessor(List<String> devices) {
        return devices.equals(List.of(Devices.CPU));
    }

    boolean onProcessor() {
        return isOnProcessor(devices);
    }

    /** @param place number of the process among those that run at once, from 0 */
    String device(int place) {
        return devices.get(onProcessor() ? 0 : place);
    }

    /**
     * Checks that the largest trainings fit into the memory together.
     *
     * @param needs bytes of the steps of each training that is not finished
     * @throws InputException if they do not; says how many do
     */
    void requireMemory(List<Long> needs, HostMemory host, Consumer<String> log) {
        List<Long> largest = needs.stream().sorted(Comparator.reverseOrder()).toList();
        int n = Math.min(most, largest.size());
        if (n == 0) return;
        long sum = sum(largest, n);
        if (sum > host.free()) {
            int fits = IntStream.range(1, n)
                    .filter(k -> sum(largest, k) <= host.free())
                    .max()
                    .orElse(1); // One that does not fit alone says what would.
            throw new InputException(
                    "--parallel " + most,
                    "the steps of the " + n + " largest trainings need " + sum + " bytes, but " + host.free()
                            + " are left of " + host.allowance(),
                    "Use --parallel " + fits + ", or a smaller train.batch by --set");
        }
        log.accept(String.format(
                Locale.ROOT,
                "memory: the steps of %d trainings at once take up to %.2f GiB of %.2f; on top come their Java heaps,"
                        + " each of up to %.2f GiB, and ridge regressions",
                n,
                sum / GIB,
                host.free() / GIB,
                Runtime.getRuntime().maxMemory() / GIB));
    }

    private static long sum(List<Long> bytes, int n) {
        return bytes.stream().limit(n).mapToLong(Long::longValue).sum();
    }
}
