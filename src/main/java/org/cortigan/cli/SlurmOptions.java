// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.exec.Devices;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options of jobs of Slurm. */
final class SlurmOptions {
    @Option(
            names = "--slurm",
            required = true,
            description = "Runs nothing: writes scripts for Slurm to DIR/slurm, an array job with a task for each run"
                    + " and a job that then writes the table, and prints the command that submits both.")
    @SuppressWarnings("UnusedVariable") // the other options need it, and without it there is no object of this class
    private boolean slurm;

    @Option(names = "--partition", paramLabel = "NAME", description = "Partition of the jobs.")
    private @Nullable String partition;

    @Option(
            names = "--time",
            paramLabel = "LIMIT",
            description = "Time limit of a run, such as 90 (minutes) or 1-12:00:00. One to two minutes before it,"
                    + " a training writes its checkpoint and ends; submit again to continue.")
    private @Nullable String time;

    @Option(names = "--mem", paramLabel = "SIZE", description = "Memory of a run, such as 32G.")
    private @Nullable String memory;

    @Option(
            names = "--gpus",
            paramLabel = "1|TYPE:1",
            description = "Gives each run a card; without this option runs use the processor.")
    private @Nullable String gpus;

    @Option(
            names = "--cpus-per-task",
            paramLabel = "N",
            description = "Cores of a run, and its --threads (default: that of --threads, or else 1).")
    private int cores;

    @Option(names = "--limit", paramLabel = "K", description = "At most K runs at once.")
    private int limit;

    @Option(
            names = "--sbatch",
            paramLabel = "OPTION",
            description = "Another option of sbatch for all jobs, such as --sbatch=--account=lab. Repeatable.")
    private List<String> more = List.of();

    /** The device of each run, by the name that the user gave. */
    String device(String named) {
        String own = gpus == null ? Devices.CPU : "cuda";
        if (!named.equals("auto") && !named.equals(own))
            throw new InputException(
                    "--device " + named,
                    "is not the device of jobs " + (gpus == null ? "without" : "with") + " --gpus, " + own,
                    "Leave --device out" + (gpus == null ? ", and give --gpus 1 for a card" : ""));
        if (gpus != null && !gpus.matches("([\\w.-]+:)?1"))
            throw new InputException("--gpus " + gpus, "is not one card, and a run uses one", "Use 1 or TYPE:1");
        return own;
    }

    /** Cores of each run. */
    int cores(int threads) {
        if (cores < 0 || cores > 0 && threads > 0 && cores != threads)
            throw new InputException(
                    "--cpus-per-task " + cores,
                    cores < 0 ? "is negative" : "differs from --threads " + threads,
                    "A run has a thread on each of its cores: give one of the two options");
        return Math.max(1, Math.max(cores, threads));
    }

    /** Options of the array job's sbatch. */
    List<String> rows(int runs, int threads) {
        if (limit < 0) throw new InputException("--limit " + limit, "is negative", "Give the number of runs at once");
        List<String> all = new ArrayList<>();
        all.add("--array=0-" + (runs - 1) + (limit > 0 ? "%" + limit : ""));
        all.add("--cpus-per-task=" + cores(threads));
        add(all, "--gpus", gpus);
        // Slurm sends the signal up to a minute earlier, to the process that replaces the script.
        all.add("--signal=B:TERM@60");
        all.add("--requeue");
        addCommon(all);
        return all;
    }

    /** Options of the sbatch of the job that writes the table. */
    List<String> table() {
        List<String> all = new ArrayList<>();
        all.add("--cpus-per-task=1");
        addCommon(all);
        return all;
    }

    private void addCommon(List<String> all) {
        all.add("--ntasks=1");
        all.add("--open-mode=append");
        add(all, "--partition", partition);
        add(all, "--time", time);
        add(all, "--mem", memory);
        more.forEach(option -> all.add(checked("--sbatch", option)));
    }

    private static void add(List<String> all, String option, @Nullable String value) {
        if (value != null) all.add(option + "=" + checked(option, value));
    }

    /** A script has each option on a line of its own, in which a blank ends it. */
    private static String checked(String option, String value) {
        if (!value.matches("[\\w%@+=:,./\\[\\]&|*!()-]+"))
            throw new InputException(
                    option + " '" + value + "'",
                    "has a character that a line of options for sbatch cannot have",
                    "Give one value, without blanks or quotes");
        return value;
    }
}
