// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.util.Map;
import java.util.stream.Stream;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.OpCheck;
import org.cortigan.exec.Session;
import org.cortigan.graph.DType;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/**
 * Runs every op as tools/gpu-check does, on a simulated CUDA runtime. Each op must agree with the double reference and
 * make few calls of the runtime: on a GPU a pinned allocation or a wait takes about 10 to 200 us, so one for each
 * element would take hours.
 */
@Tag("cuda")
class OpsCudaTest {
    /** What a device keeps once it is needed: the staging memory, and the second stream with its two events. */
    private static final int LEFT_OPEN = 4;

    @TestFactory
    Stream<DynamicTest> opsAgreeWithTheReferenceAndMakeFewCalls() {
        SimulatedCuda.reset();
        CpuDevice ref = CpuDevice.doubleReference();
        Device card = Devices.open("cuda:0", 0);
        long before = SimulatedCuda.live();
        return OpCases.all().stream()
                .filter(c -> !c.bench())
                .map(c -> dynamicTest(c.name(), () -> {
                    check(c, DType.F32, ref, card);
                    assertTrue(
                            SimulatedCuda.live() <= before + LEFT_OPEN,
                            "nothing but the staging memory and the second stream is left open");
                }))
                .onClose(card::close);
    }

    private static void check(OpCase c, DType t, CpuDevice ref, Device card) {
        boolean backward = OpCheck.hasGradient(c);
        Map<String, float[]> want = OpCheck.run(c, t, ref, Session.Options.DEFAULT, backward, false);
        long host = SimulatedCuda.hostAllocations(),
                device = SimulatedCuda.deviceAllocations(),
                waits = SimulatedCuda.waits();
        Map<String, float[]> got = OpCheck.run(c, t, card, new Session.Options(OpCheck.GUARD, true), backward, true);
        OpCheck.compare(c, t, want, got, card.name());
        // Inputs, variables, results and the gradients' seeds are each copied once and may each have a block; a session
        // has a few more. Pinned memory holds two sets of the inputs that are copied with a run, and the staging
        // memory.
        CaseInputs s = new CaseInputs(t);
        OpCheck.build(c, s, false);
        int tensors = s.data().size() + 2 * want.size() + 12;
        assertTrue(
                SimulatedCuda.hostAllocations() - host < 10,
                () -> "pinned allocations: " + (SimulatedCuda.hostAllocations() - host));
        assertTrue(
                SimulatedCuda.deviceAllocations() - device < tensors,
                () -> "allocations: " + (SimulatedCuda.deviceAllocations() - device));
        // A wait is for both streams, a call each.
        assertTrue(SimulatedCuda.waits() - waits < 2L * tensors, () -> "waits: " + (SimulatedCuda.waits() - waits));
    }
}
