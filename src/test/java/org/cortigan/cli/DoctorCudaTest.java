// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.cortigan.cuda.SimulatedCuda;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

@Tag("cuda")
class DoctorCudaTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... args) {
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return c.execute(args);
    }

    @BeforeEach
    void reset() {
        SimulatedCuda.reset();
    }

    @Test
    void cardsAreListed() {
        assertEquals(0, run("doctor"), err::toString);
        String s = out.toString();
        assertTrue(
                s.contains(
                        "cuda libraries: driver for CUDA 13.0, runtime 13.0, cuBLAS 130000, cuDNN 91900, NCCL 22900"),
                s);
        assertTrue(s.contains("cuda:0: Simulated card, architecture 9.0, 1.0 GiB: available, kernels run"), s);
        assertEquals(0, SimulatedCuda.live());
    }

    @Test
    void aMissingCardIsReportedInOneLine() {
        assertEquals(1, run("profile", "-c", "quickstart", "--device", "cuda:3"));
        String s = err.toString();
        assertTrue(
                s.contains("device cuda:3: does not exist; cards here: 1. Use cuda:0")
                        && s.strip().lines().count() == 1,
                s);
        assertFalse(s.contains("\tat "), s);
    }
}
