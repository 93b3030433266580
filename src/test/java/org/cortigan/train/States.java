// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.Map;

/** Parameters and states of trainers by name. */
final class States {
    private States() {}

    static Map<String, float[]> state(Trainer t) {
        Map<String, float[]> m = new LinkedHashMap<>();
        for (String v : t.variables()) m.put(v, t.variable(v));
        return m;
    }

    static void same(Map<String, float[]> a, Map<String, float[]> b, double tolerance) {
        assertEquals(a.keySet(), b.keySet());
        a.forEach((k, v) -> assertArrayEquals(v, b.get(k), (float) tolerance, k));
    }
}
