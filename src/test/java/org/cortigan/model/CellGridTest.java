// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class CellGridTest {
    @Test
    void theCurveIsHilberts() {
        StringBuilder curve = new StringBuilder();
        for (int d = 0; d < 16; d++) {
            int[] c = new CellGrid(4).cell(d);
            curve.append(c[0]).append(c[1]).append(' ');
        }
        assertEquals(
                "00 10 11 01 02 03 13 12 22 23 33 32 31 21 20 30",
                curve.toString().strip());
        CellGrid large = new CellGrid(64);
        assertArrayEquals(new int[] {4, 14}, large.cell(100));
        assertArrayEquals(new int[] {31, 32}, large.cell(2047));
        assertArrayEquals(new int[] {32, 32}, large.cell(2048));
        assertArrayEquals(new int[] {63, 0}, large.cell(4095));
        assertArrayEquals(new int[] {0, 0}, new CellGrid(1).cell(0));
        assertThrows(IllegalArgumentException.class, () -> new CellGrid(12));
        assertThrows(IllegalArgumentException.class, () -> new CellGrid(0));
    }

    @Test
    void neighboursOnTheCurveAreNeighboursOnTheGrid() {
        CellGrid g = new CellGrid(128);
        for (int d = 1; d < 128 * 128; d++) {
            int[] a = g.cell(d - 1), b = g.cell(d);
            assertEquals(1, Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]), "distance " + d);
        }
    }

    /** Few and many vertices, as many as cells, one, and the challenge's. */
    @Test
    void everyVertexHasACellAndAPlaceOfItsOwn() {
        for (int side : new int[] {1, 2, 8, 64})
            for (int n : new int[] {1, 3, 63, 64, 65, 1000, 39_548}) {
                CellGrid g = new CellGrid(side);
                if ((long) n * g.depth(n) > 1 << 22) continue;
                int[] order = IntStream.range(0, n).map(i -> n - 1 - i).toArray();
                float[] at = g.positions(order), places = g.places(order);
                int depth = g.depth(n);
                Map<String, Integer> taken = new HashMap<>();
                int[] count = new int[side * side];
                for (int v = 0; v < n; v++) {
                    double x = ((double) at[2 * v] + 1) * side / 2 - 0.5,
                            y = ((double) at[2 * v + 1] + 1) * side / 2 - 0.5;
                    assertEquals(Math.rint(x), x, 1e-4);
                    assertEquals(Math.rint(y), y, 1e-4);
                    int cell = (int) (Math.rint(y) * side + Math.rint(x));
                    count[cell]++;
                    float[] own = Arrays.copyOfRange(places, v * depth, (v + 1) * depth);
                    int place = IntStream.range(0, depth)
                            .filter(k -> own[k] == 1)
                            .findFirst()
                            .orElseThrow();
                    assertEquals(
                            1,
                            IntStream.range(0, depth).filter(k -> own[k] != 0).count());
                    assertEquals(null, taken.put(cell + " " + place, v), side + ", " + n);
                }
                int most = Arrays.stream(count).max().orElseThrow(),
                        least = Arrays.stream(count).min().orElseThrow();
                assertTrue(most - least <= 1, side + ", " + n + ": " + least + " to " + most);
                assertEquals(depth, most);
                assertArrayEquals(new float[] {1f / side - 1, 1f / side - 1}, Arrays.copyOfRange(at, 2 * n - 2, 2 * n));
            }
    }
}
