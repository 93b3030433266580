// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * Runs all CUDA kernels with every memory access watched (native/sim/races.h), to find races within a block and between
 * blocks, reads of unwritten shared memory, and misaligned vectors. Runs in a separate JVM, because a process has one
 * library of simulated kernels. A launch uses one core, so each type of number is a class, and the two run side by
 * side.
 */
abstract class KernelRaces {
    static final Path LIBRARY = Path.of(System.getProperty("cortigan.sim"));

    private final DType type;

    KernelRaces(DType type) {
        this.type = type;
    }

    @TestFactory
    Stream<DynamicTest> kernelsHaveNoFaults() {
        assertTrue(LIBRARY.endsWith("libcortigan_sim_checked.so"), LIBRARY + " does not watch accesses");
        String part = System.getProperty("cortigan.cases", "");
        SimDevice device = new SimDevice(false);
        List<DynamicTest> tests = new ArrayList<>();
        for (OpCase c : OpCases.all()) {
            if (c.bench() || !c.name().contains(part)) continue;
            // These cases take as long as all others together, and the others reach the same kernels.
            // -Dcortigan.cases=39548 runs them.
            if (part.isEmpty() && c.name().matches(".*(39548|2x197).*")) continue;
            tests.add(dynamicTest(c.name() + " " + type, () -> {
                boolean backward = OpCheck.hasGradient(c);
                for (Device d : OpCheck.implementations(c, type, device, backward))
                    try {
                        OpCheck.run(c, type, d, new Session.Options(OpCheck.GUARD, true), backward, false);
                    } catch (RuntimeException e) {
                        throw new AssertionError(d.name() + ": " + e.getMessage(), e);
                    }
            }));
        }
        return tests.stream();
    }
}
