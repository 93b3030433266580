// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.cortigan.surface.Surfaces;
import org.junit.jupiter.api.Test;

class CorticalLayoutTest {
    private static final int N = 19004;

    /** The areas' sides of the brain and of each other, in MNI305 coordinates: x to the right, y to the front, z up. */
    @Test
    void areasLieWhereTheyDoInPeople() {
        for (int h = 0; h < 2; h++) {
            CorticalLayout layout = CorticalLayout.of(h, new float[N]);
            double side = h == 0 ? -1 : 1;
            double[] v1v = mean(layout, h, 0, 0.045), v1d = mean(layout, h, 0.045, 0.09);
            double[] ffa = mean(layout, h, 0.34, 0.362), eba = mean(layout, h, 0.55, 0.62);
            for (double[] v1 : new double[][] {v1v, v1d}) {
                assertTrue(v1[1] < -70, "V1 is at the back");
                assertTrue(side * v1[0] > 0 && side * v1[0] < 25, "V1 is on the medial side of its hemisphere");
            }
            assertTrue(v1v[2] < v1d[2], "V1v is below V1d");
            assertTrue(ffa[2] < -10 && side * ffa[0] > 25, "FFA-1 is on the ventral side");
            assertTrue(side * eba[0] > 35 && eba[2] > ffa[2], "EBA is on the lateral side");
        }
    }

    /** The mean pial coordinates of the vertices on a part of the line, of those that fsaverage5 has. */
    private static double[] mean(CorticalLayout layout, int hemisphere, double from, double to) {
        float[] points = Surfaces.bundled(Surfaces.Kind.PIAL, hemisphere).points();
        int[] order = layout.order(), where = layout.ascending();
        double[] sum = new double[3];
        int n = 0;
        for (int v = 0; v < N; v++) {
            if (order[v] < from * N || order[v] >= to * N || 3 * where[v] >= points.length) continue;
            for (int k = 0; k < 3; k++) sum[k] += points[3 * where[v] + k];
            n++;
        }
        int count = n;
        return Arrays.stream(sum).map(s -> s / count).toArray();
    }

    @Test
    void everyVertexHasAPlaceOfItsOwn() {
        for (int n : new int[] {1, 20, 977, 20544}) {
            CorticalLayout layout = CorticalLayout.of(1, new float[n]);
            int[] where = layout.ascending(), order = layout.order();
            assertEquals(n, Arrays.stream(where).distinct().count());
            assertArrayEquals(Arrays.stream(where).sorted().toArray(), where);
            assertEquals(n, Arrays.stream(order).distinct().count());
            assertArrayEquals(where, CorticalLayout.of(1, new float[n]).ascending());
        }
    }
}
