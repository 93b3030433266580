// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

class SimulatedCortexTest {
    @Test
    void theCortexIsNotLinearInPixels() {
        SimulatedCortex c = new SimulatedCortex(1, 300, 300, (r, h) -> true);
        byte[] grey = new byte[64 * 64 * 3], stripes = grey.clone(), inverted = grey.clone();
        Arrays.fill(grey, (byte) 128);
        for (int i = 0; i < 64 * 64; i++)
            for (int k = 0; k < 3; k++) {
                stripes[3 * i + k] = (byte) (128 + (i % 64 / 4 % 2 == 0 ? 60 : -60));
                inverted[3 * i + k] = (byte) (128 + (i % 64 / 4 % 2 == 0 ? -60 : 60));
            }
        float[] a = new float[300], b = new float[300], m = new float[300];
        c.signal(c.hemispheres[0], c.features(grey), a, 0);
        c.signal(c.hemispheres[0], c.features(stripes), b, 0);
        c.signal(c.hemispheres[0], c.features(inverted), m, 0);
        double energy = 0, linear = 0;
        for (int v = 0; v < 60; v++) { // V1: energy ignores the stripes' sign, a linear cell does not
            energy += Math.abs(b[v] - a[v]);
            linear += Math.abs(b[v] + m[v] - 2 * a[v]) / 2;
        }
        assertTrue(linear > 0.8 * energy && energy > 1, "energy " + energy + ", even part " + linear);
    }
}
