// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ranks;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.cortigan.InputException;
import org.cortigan.exec.Ranks;

/**
 * Whether {@code mpirun} or {@code srun} started this process as one of several, and which part of a machine it has.
 */
public final class Launched {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final String ALLOWED = "Cpus_allowed_list:";

    private Launched() {}

    /**
     * Joins the run that this process was started for; one rank if it was started alone.
     *
     * @throws InputException if {@code srun} started several processes without MPI, or Open MPI is missing
     */
    public static Ranks ranks() {
        return isRank(System.getenv()) ? Ranks.join(MpiTransport::new, host()) : Ranks.alone();
    }

    /**
     * Checks that this process was started alone.
     *
     * @param command that cannot be divided among ranks
     * @throws InputException if it was not
     */
    public static void requireAlone(String command) {
        if (isRank(System.getenv()))
            throw new InputException(
                    "cortigan " + command,
                    "was started as several ranks, and only train is divided among ranks",
                    "Start it without mpirun");
    }

    /**
     * Whether the environment is that of a rank. Open MPI's {@code mpirun} sets OMPI_COMM_WORLD_SIZE, {@code srun
     * --mpi=pmix} PMIX_RANK.
     */
    static boolean isRank(Map<String, String> environment) {
        int tasks = number(environment, "SLURM_STEP_NUM_TASKS");
        if (environment.containsKey("OMPI_COMM_WORLD_SIZE")) return number(environment, "OMPI_COMM_WORLD_SIZE") > 1;
        if (environment.containsKey("PMIX_RANK")) return tasks != 1;
        String other = number(environment, "PMI_SIZE") > 1
                ? "the launcher of another MPI (PMI_SIZE is set)"
                : tasks > 1 ? "srun without MPI" : null;
        if (other == null) return false;
        throw new InputException(
                "several tasks",
                "were started by " + other + ", so that each would train on its own",
                "Start them with Open MPI's mpirun, or with srun --mpi=pmix");
    }

    private static int number(Map<String, String> environment, String name) {
        try {
            return Integer.parseInt(environment.getOrDefault(name, "0"));
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (IOException e) {
            return Objects.requireNonNullElse(System.getenv("HOSTNAME"), "localhost");
        }
    }

    /**
     * Threads of a rank if the user names none: the processors that the launcher allows it, divided among the ranks
     * that may use the same ones. All ranks get the smallest of their numbers: what each computes for itself behind a
     * sum, such as the gradients' norm, has the same bits only for the same number of threads.
     */
    public static int threads(Ranks ranks) {
        int processors = Runtime.getRuntime().availableProcessors();
        if (ranks.size() == 1) return processors;
        byte[] own = (ranks.hosts().get(ranks.rank()) + " " + allowed()).getBytes(StandardCharsets.UTF_8);
        List<byte[]> all = ranks.gather(own);
        long sharers = all.stream().filter(b -> Arrays.equals(b, own)).count();
        return -ranks.largest(-(int) Math.max(1, processors / sharers));
    }

    /** The processors that this process may use, as Linux lists them. */
    private static String allowed() {
        try {
            return Files.readAllLines(STATUS).stream()
                    .filter(line -> line.startsWith(ALLOWED))
                    .findFirst()
                    .orElse("");
        } catch (IOException e) {
            return ""; // Then all ranks of the machine share all processors.
        }
    }
}
