// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import org.cortigan.ridge.Blas.Block;

/**
 * Standardised responses Y in the coordinates of an eigenbasis U: B = U Y, in tiles of {@link Blas#TILE} vertices.
 *
 * @param vertices the vertices, in the order of the tiles
 * @param tiles each [R, vertices of the tile]
 * @param unexplained for each of the vertices the sum of squares of the responses outside the basis
 */
record Rotation(int[] vertices, float[][] tiles, double[] unexplained) {
    /** Work after the rotation of a block. */
    @FunctionalInterface
    interface Body {
        void accept(Responses.Block block, Rotation rotation);
    }

    /** Rotates the responses of some vertices and runs {@code body} on each block, while it is in memory. */
    static Rotation of(Eigenbasis basis, Responses responses, int[] vertices, Body body) {
        int nTiles = (vertices.length + Blas.TILE - 1) / Blas.TILE;
        Rotation rotation = new Rotation(vertices, new float[nTiles][], new double[vertices.length]);
        responses.forEachBlock(vertices, block -> {
            block.forEachTile((tile, n) -> rotation.rotate(basis, tile, block.standardised(tile, n), n));
            body.accept(block, rotation);
        });
        return rotation;
    }

    private void rotate(Eigenbasis basis, int tile, double[] y, int n) {
        int components = basis.components(), images = basis.images();
        double[] b;
        try (Matrix responses = Matrix.doubles(images, n);
                Matrix rotated = Matrix.doubles(components, n)) {
            responses.put(0, y);
            Blas.multiply(components, n, images, Block.of(basis.vectors()), Block.of(responses), 0, Block.of(rotated));
            b = rotated.getDoubles(0, components);
        }
        double[] rest = new double[n];
        addSquares(y, n, 1, rest);
        addSquares(b, n, -1, rest);
        for (int i = 0; i < n; i++) {
            unexplained[tile * Blas.TILE + i] = basis.complete() ? 0 : Math.max(0, rest[i]);
        }
        tiles[tile] = Matrix.rounded(b);
    }

    private static void addSquares(double[] x, int n, double sign, double[] sums) {
        for (int at = 0; at < x.length; at += n) {
            for (int i = 0; i < n; i++) {
                sums[i] += sign * x[at + i] * x[at + i];
            }
        }
    }
}
