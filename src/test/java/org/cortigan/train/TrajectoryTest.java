// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.cortigan.exec.CpuDevice;
import org.cortigan.graph.DType;
import org.junit.jupiter.api.Test;

/** Compares 20 training steps with PyTorch's: the reference matches them, the fast kernels stay near them. */
class TrajectoryTest {
    private static final int STEPS = 20;
    private static final Path GOLDEN = Path.of("src/test/resources/models/gan_20_steps.safetensors");

    @Test
    void theDoubleReferenceMatchesPyTorch() {
        Trajectory.Outcome o = Trajectory.run(CpuDevice.doubleReference(), DType.F32, GOLDEN);
        // both sides compute in double; learning rates and weights are rounded from the same decimals, so 20 updates of
        // 1e-3 differ only by rounding
        for (double e : o.losses()) assertTrue(e < 1e-9, "losses differ by " + e);
        assertEquals(0, o.parameters(), 1e-9);
    }

    @Test
    void floatKernelsStayNearPyTorch() {
        Trajectory.Outcome o = Trajectory.run(CpuDevice.best(2), DType.F32, GOLDEN);
        // Adam divides a gradient by its own size. Where the gradient is 0 except for rounding (key biases), an update
        // is random within the learning rate. So parameters may differ by steps * rate; losses differ little in the
        // first step and more in later ones.
        assertTrue(o.losses()[0] < 1e-5, "first losses differ by " + o.losses()[0]);
        assertTrue(o.losses()[STEPS - 1] < 1e-2, "last losses differ by " + o.losses()[STEPS - 1]);
        assertTrue(o.parameters() < STEPS * 2e-3, "parameters differ by " + o.parameters());
    }

    @Test
    void bf16ProductsStayNearPyTorch() {
        CpuDevice cpu = CpuDevice.best(2);
        org.junit.jupiter.api.Assumptions.assumeTrue(cpu.supportsBf16(), "this CPU has no avx512bf16");
        Trajectory.Outcome o = Trajectory.run(cpu, DType.BF16, GOLDEN);
        // bf16 has 8 bits: products of two blocks are off by a few 2^-8
        assertTrue(o.losses()[0] < 0.1, "first losses differ by " + o.losses()[0]);
    }
}
