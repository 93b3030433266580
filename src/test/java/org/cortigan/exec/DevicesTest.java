// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import org.cortigan.graph.DType;
import org.junit.jupiter.api.Test;

class DevicesTest {
    @Test
    void cpusRefuseTf32() {
        Device cpu = CpuDevice.best(1);
        assertSame(cpu, cpu.with(Precision.FP32));
        assertFalse(cpu.supports(Precision.TF32));
        String m = assertThrows(IllegalArgumentException.class, () -> cpu.with(Precision.TF32))
                .getMessage();
        assertTrue(m.contains(cpu.name()) && m.contains("TF32"), m);
        assertEquals(cpu.supports(DType.BF16), cpu.supports(Precision.BF16));
        assertEquals(Optional.empty(), cpu.capability());
    }

    @Test
    void theReferenceDeviceStoresFloatsAsDoubles() {
        Device reference = CpuDevice.doubleReference(), cpu = CpuDevice.best(1);
        assertEquals(DType.F64, reference.storedAs(DType.BF16));
        assertEquals(8, reference.elementBytes(DType.F32));
        assertEquals(DType.I32, reference.storedAs(DType.I32));
        assertEquals(2, cpu.elementBytes(DType.BF16));
    }

    @Test
    void onlyStreamDevicesHaveTheirOwnMemory() {
        for (Device d : new Device[] {CpuDevice.best(1), new NullDevice()}) {
            assertFalse(d.runtime().hasOwnMemory(), d.name());
            assertFalse(d.runtime().isAsynchronous(), d.name());
        }
        try (Device d = new SimDevice(false)) {
            assertTrue(d.runtime().hasOwnMemory() && d.runtime().isAsynchronous());
        }
    }
}
