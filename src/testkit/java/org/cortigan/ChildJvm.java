// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;

/** Another JVM with the class path of the tests. */
public final class ChildJvm {
    private ChildJvm() {}

    /**
     * Starts a program and waits for its first line.
     *
     * @param program has the main method, which gets the folder as its argument
     * @param line first line that the program prints
     */
    public static Process start(Class<?> program, Path folder, String line) throws Exception {
        Process p = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xshare:auto",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        program.getName(),
                        folder.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        assertEquals(line, p.inputReader().readLine());
        return p;
    }
}
