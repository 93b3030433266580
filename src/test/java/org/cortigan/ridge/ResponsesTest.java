// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.cortigan.eval.RowSource;
import org.junit.jupiter.api.Test;

/** Reads responses that do not fit into memory at once. */
class ResponsesTest {
    private static final int N = 7, V = 3 * Blas.TILE + 5;

    private static float[] values() {
        SplittableRandom random = new SplittableRandom(1);
        float[] y = new float[N * V];
        for (int i = 0; i < y.length; i++) y[i] = (float) (1e6 + 2 * random.nextGaussian());
        return y;
    }

    /** The standardised tiles of the given vertices, and how many blocks they came in. */
    private static double[][] tiles(Responses responses, int[] vertices, AtomicInteger blocks) {
        double[][] tiles = new double[(vertices.length + Blas.TILE - 1) / Blas.TILE][];
        responses.forEachBlock(vertices, block -> {
            blocks.incrementAndGet();
            block.forEachTile((tile, n) -> tiles[tile] = block.standardised(tile, n));
        });
        return tiles;
    }

    @Test
    void blocksOfAnySizeGiveTheSameTiles() {
        RowSource y = RowSource.of(values(), N, V);
        int[] all = IntStream.range(0, V).toArray();
        AtomicInteger one = new AtomicInteger(), several = new AtomicInteger();
        double[][] whole = tiles(new Responses(y), all, one);
        double[][] pieces = tiles(new Responses(y, 1), all, several);
        assertEquals(1, one.get());
        assertEquals(4, several.get());
        for (int i = 0; i < whole.length; i++) assertArrayEquals(whole[i], pieces[i]);
    }

    /** A sum over several tiles has the same order in blocks of any size. */
    @Test
    void blocksKeepTilesTogether() {
        Responses responses = new Responses(RowSource.of(values(), N, V), 1);
        List<Integer> vertices = new ArrayList<>();
        responses.forEachBlock(IntStream.range(0, V).toArray(), 3, block -> vertices.add(block.vertices()));
        assertEquals(List.of(3 * Blas.TILE, 5), vertices);
    }

    @Test
    void someVerticesAreThoseOfTheWhole() {
        float[] values = values();
        Responses responses = new Responses(RowSource.of(values, N, V));
        double[] tile = tiles(responses, new int[] {700, 3}, new AtomicInteger())[0];
        for (int i = 0; i < 2; i++) {
            int column = i, v = i == 0 ? 700 : 3;
            double[] own = IntStream.range(0, N)
                    .mapToDouble(row -> tile[row * 2 + column])
                    .toArray();
            assertEquals(0, Arrays.stream(own).sum(), 1e-9);
            assertEquals(N, Arrays.stream(own).map(x -> x * x).sum(), 1e-9);
            for (int row = 0; row < N; row++) {
                double restored = responses.mean()[v] + responses.deviation()[v] * own[row];
                assertEquals(values[row * V + v], restored, 1e-6);
            }
        }
        assertTrue(responses.deviation()[4] == 0, "vertices that were not read");
    }
}
