// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.cortigan.cortex.Mesh;
import org.junit.jupiter.api.Test;

class FsaverageTest {
    /** Every level: a split that numbered vertices in another order would move all triangles of later levels. */
    @Test
    void trianglesAreThoseOfFsaverage5() {
        for (int h = 0; h < 2; h++) {
            Mesh mesh = Surfaces.bundled().mesh(Surfaces.Kind.INFLATED, h);
            assertArrayEquals(mesh.triangles(), Fsaverage.triangles(5));
        }
    }

    /** FreeSurfer's own fsaverage begins with these triangles. */
    @Test
    void fsaverageHasItsOwnNumbers() {
        int[] t = Fsaverage.triangles(7);
        assertEquals(3 * 327680, t.length);
        assertEquals(163842, Fsaverage.vertices(7));
        assertArrayEquals(new int[] {0, 40964, 40962, 0, 40962, 40965}, Arrays.copyOf(t, 6));
        assertEquals(163841, Arrays.stream(t).max().orElseThrow());
    }

    @Test
    void parentsAreTheNeighboursOfLowerNumber() {
        int[] parents = Fsaverage.parents(5);
        Fsaverage.Neighbours n = Fsaverage.Neighbours.of(10242, Fsaverage.triangles(5));
        for (int v = 2562; v < 10242; v++) {
            Set<Integer> lower = new TreeSet<>();
            for (int e = n.first()[v]; e < n.first()[v + 1]; e++) if (n.all()[e] < 2562) lower.add(n.all()[e]);
            assertEquals(lower, new TreeSet<>(Set.of(parents[2 * v], parents[2 * v + 1])));
        }
    }

    @Test
    void everyVertexShowsItselfOrTheNearest() {
        int[] all = IntStream.range(0, 163842).toArray();
        assertArrayEquals(IntStream.range(0, 10242).toArray(), Fsaverage.nearest(all, 5));
        // A middle of level 6 is two edges of level 7 from its two parents, and so shows at both if they have no value.
        int[] parents = Fsaverage.parents(7);
        int middle = 30000, a = parents[2 * middle], b = parents[2 * middle + 1];
        int[] shown = Fsaverage.nearest(new int[] {middle}, 5);
        assertEquals(0, shown[a]);
        assertEquals(0, shown[b]);
        assertEquals(2, Arrays.stream(shown).filter(v -> v == 0).count());
        int[] own = Fsaverage.nearest(new int[] {a, middle}, 5);
        assertEquals(0, own[a]);
        assertEquals(1, own[b]);
        assertTrue(Arrays.stream(Fsaverage.nearest(new int[0], 5)).allMatch(v -> v == -1));
    }
}
