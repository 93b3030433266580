// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Ranks that Open MPI's mpirun starts, with the class path of the tests. */
public final class Mpirun {
    private static final String PROGRAM = "mpirun";

    private Mpirun() {}

    /** Whether Open MPI is installed. */
    public static boolean isThere() {
        return Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(folder -> new File(folder, PROGRAM + ".openmpi").canExecute());
    }

    /**
     * Starts a program on {@code ranks} ranks of this machine, on whatever cores they find.
     *
     * @param output receives what they print
     */
    public static Process start(int ranks, Class<?> program, Path output, String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                PROGRAM + ".openmpi",
                "--allow-run-as-root",
                "--oversubscribe",
                "--bind-to",
                "none",
                "-np",
                Integer.toString(ranks),
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                program.getName()));
        command.addAll(List.of(args));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
    }
}
