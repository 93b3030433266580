// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class EnergyTest {
    @Test
    void aSigmaThatKernelsCannotHoldIsRefused() {
        for (double sigma : new double[] {-1, 1e-20, 1e20, Double.POSITIVE_INFINITY, Double.NaN})
            assertThrows(IllegalArgumentException.class, () -> new Energy(sigma), sigma + "");
        for (double sigma : new double[] {0, 1e-19, 1e19}) assertEquals(sigma, new Energy(sigma).sigma());
    }
}
