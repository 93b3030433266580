// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The simulation lets AddressSanitizer see what a kernel does to memory that is not its own. */
@Tag("slow")
class SanitizeTest {
    @Test
    void faultyKernelsAreCaughtAndNamed() throws Exception {
        Process p = new ProcessBuilder("tools/sanitize", "--proof")
                .redirectErrorStream(true)
                .start();
        String said = new String(p.getInputStream().readAllBytes(), UTF_8);
        assertEquals(0, p.waitFor(), said);
        assertEquals(3, Pattern.compile("(?m)^caught: ").matcher(said).results().count(), said);
    }
}
