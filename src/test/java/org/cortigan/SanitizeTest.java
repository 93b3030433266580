// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The simulation lets AddressSanitizer see what a kernel does to memory that is not its own. */
@Tag("slow")
class SanitizeTest {
    private static String run(String... command) throws Exception {
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, p.waitFor(), said);
        return said;
    }

    @Test
    void faultyKernelsAreCaughtAndNamed() throws Exception {
        // g++ prints the whole path of a library that it has.
        boolean installed = run("g++", "-print-file-name=libasan.so").startsWith("/");
        assumeTrue(installed, "g++ has no AddressSanitizer: install libasan");
        String said = run("tools/sanitize", "--proof");
        assertEquals(3, Pattern.compile("(?m)^caught: ").matcher(said).results().count(), said);
    }
}
