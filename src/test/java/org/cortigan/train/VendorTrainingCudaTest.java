// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.cortigan.cuda.SimulatedCuda;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Served;
import org.cortigan.graph.Half;
import org.cortigan.graph.Node;
import org.cortigan.nn.Weights;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Trains with simulated NVIDIA libraries, which are strict about addresses, descriptors and workspaces. */
@Tag("cuda")
class VendorTrainingCudaTest {
    @Test
    void librariesComputeAllProductsOfAStep(@TempDir Path cache) {
        SimulatedCuda.reset();
        String own = System.setProperty("cortigan.cuda.ownProducts", "false");
        String folder = System.setProperty("cortigan.cuda.cache", cache.toString());
        try {
            for (String precision : List.of("fp32", "bf16", "tf32")) {
                List<String> said = new ArrayList<>();
                Recipe r = DeviceTrainingTest.recipe("train.precision=" + precision, "train.epochs=1");
                try (Device d = Devices.open("cuda:0", 0, said::add);
                        Trainer t = new Trainer(r, DeviceTrainingTest.TOY, d, null)) {
                    t.run();
                    Set<String> by = new TreeSet<>();
                    for (Node n : t.session().launched()) {
                        Served s = t.session().served(n);
                        assertTrue(!s.refused(), n + ": " + s);
                        assertFalse(s.form().contains("cast"), n + ": " + s);
                        if (s.libraryWork()) by.add(s.by());
                    }
                    assertTrue(by.contains("cuBLASLt"), by.toString());
                    copiesAreTheParametersRounded(t, precision.equals("bf16"));
                }
                assertEquals(List.of(), said, precision);
            }
        } finally {
            System.setProperty("cortigan.cuda.ownProducts", own);
            System.setProperty("cortigan.cuda.cache", folder);
        }
        assertEquals(0, SimulatedCuda.live());
    }

    private static void copiesAreTheParametersRounded(Trainer t, boolean any) {
        List<String> biases = new ArrayList<>();
        for (String name : t.variables()) {
            if (!name.endsWith(Weights.copyName(""))) continue;
            String parameter =
                    name.substring(0, name.length() - Weights.copyName("").length());
            if (parameter.endsWith("bias")) biases.add(parameter);
            float[] want = t.variable(parameter);
            for (int i = 0; i < want.length; i++) want[i] = Half.fromBf16(Half.toBf16(want[i]));
            assertArrayEquals(want, t.variable(name), name);
        }
        assertEquals(any, !biases.isEmpty(), biases.toString());
    }
}
