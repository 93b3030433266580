// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.cortigan.exec.CpuDevice;
import org.cortigan.graph.DType;
import org.junit.jupiter.api.Test;

/** The reference goes PyTorch's way, the fast kernels near it. */
class TrajectoryTest {
    private static final int STEPS = 20;
    private static final Path GOLDEN = Path.of("src/test/resources/models/gan_20_steps.safetensors");

    @Test
    void theDoubleReferenceGoesTorchsWay() {
        Trajectory.Outcome o = Trajectory.run(CpuDevice.doubleReference(), DType.F32, GOLDEN);
        // both in double; learning rates and weights are given as floats rounded from the same decimals to double, so
        // that 20 updates of 1e-3 differ by rounding alone
        for (double e : o.losses()) assertTrue(e < 1e-9, "losses differ by " + e);
        assertEquals(0, o.parameters(), 1e-9);
    }

    @Test
    void floatKernelsStayNearIt() {
        Trajectory.Outcome o = Trajectory.run(CpuDevice.best(2), DType.F32, GOLDEN);
        // Adam divides a gradient by its own size: where it is 0 but for rounding (key biases) an update is random
        // within the learning rate, so parameters may differ by steps * rate, and losses by little in the first and
        // more in later steps
        assertTrue(o.losses()[0] < 1e-5, "first losses differ by " + o.losses()[0]);
        assertTrue(o.losses()[STEPS - 1] < 1e-2, "last losses differ by " + o.losses()[STEPS - 1]);
        assertTrue(o.parameters() < STEPS * 2e-3, "parameters differ by " + o.parameters());
    }

    @Test
    void bf16ProductsStayNearIt() {
        CpuDevice cpu = CpuDevice.best(2);
        org.junit.jupiter.api.Assumptions.assumeTrue(cpu.supportsBf16(), "no avx512bf16 here");
        Trajectory.Outcome o = Trajectory.run(cpu, DType.BF16, GOLDEN);
        // bf16 has 8 bits: products of two blocks are off by a few 2^-8
        assertTrue(o.losses()[0] < 0.1, "first losses differ by " + o.losses()[0]);
    }
}
