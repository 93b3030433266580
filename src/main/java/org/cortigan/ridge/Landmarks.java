// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.RowSource;
import org.cortigan.ridge.Blas.Block;

/**
 * Coordinates of images in the space that the features of some training images, the landmarks, span (the Nyström
 * method, Williams and Seeger 2001). The axes are the principal directions of the landmarks' centred features, so a
 * product of coordinates is the product of the features' projections into this space. With all images as landmarks
 * nothing is lost.
 */
final class Landmarks implements AutoCloseable {
    /** Most landmarks. */
    static final int MOST = 2048;

    /** Directions with a smaller share of the largest eigenvalue are dropped: their sign is noise of the features. */
    private static final double RANK_TOLERANCE = 1e-6;

    private final Matrix features; // [n, F], centred features of the landmarks
    private final Matrix axes; // [M, n], factors of the landmarks' features

    private Landmarks(Matrix features, Matrix axes) {
        this.features = features;
        this.axes = axes;
    }

    /**
     * Chooses landmarks, evenly spaced over the images of all subjects.
     *
     * @param sources features [N, F] of each subject
     * @param centring the centring of each subject's features
     * @param most most landmarks
     * @throws org.cortigan.InputException if all features are constant
     */
    static Landmarks of(List<RowSource> sources, List<Features> centring, int most) {
        Matrix features = read(sources, centring, most);
        try {
            return new Landmarks(features, axes(features));
        } catch (RuntimeException | Error e) {
            features.close();
            throw e;
        }
    }

    private static Matrix read(List<RowSource> sources, List<Features> centring, int most) {
        int images = sources.stream().mapToInt(RowSource::rows).reduce(0, Math::addExact);
        int n = Math.min(images, most);
        int[] chosen =
                LongStream.range(0, n).mapToInt(i -> (int) (i * images / n)).toArray();
        Matrix features = Matrix.doubles(n, sources.get(0).columns());
        try {
            read(sources, centring, chosen, features);
            return features;
        } catch (RuntimeException | Error e) {
            features.close();
            throw e;
        }
    }

    private static void read(List<RowSource> sources, List<Features> centring, int[] chosen, Matrix features) {
        int firstImage = 0, at = 0;
        for (int s = 0; s < sources.size(); s++) {
            int offset = firstImage, from = at, rows = sources.get(s).rows();
            int[] own = IntStream.of(chosen)
                    .filter(i -> i >= offset && i < offset + rows)
                    .map(i -> i - offset)
                    .toArray();
            centring.get(s)
                    .forEachBlock(
                            List.of(RowSource.rows(sources.get(s), own)),
                            Integer.MAX_VALUE,
                            (first, count, x) -> features.put(from + first, x));
            firstImage += rows;
            at += own.length;
        }
    }

    /** The eigenvectors of the landmarks' Gram matrix, divided by the roots of their eigenvalues. */
    private static Matrix axes(Matrix features) {
        try (Matrix gram = Blas.gramOfRows(features, 0, features.columns())) {
            double[] eigenvalues = Blas.eigenvectors(gram);
            int rank = GramMatrices.rank(eigenvalues, RANK_TOLERANCE, features);
            int first = eigenvalues.length - rank;
            gram.scaleRows(IntStream.range(0, eigenvalues.length)
                    .mapToDouble(j -> j < first ? 0 : 1 / Math.sqrt(eigenvalues[j]))
                    .toArray());
            return gram.copyOfRows(first, rank);
        }
    }

    /** Number M of coordinates. */
    int components() {
        return axes.rows();
    }

    /** The coordinates [N, M] of a subject's images. */
    Matrix coordinates(RowSource source, Features centring) {
        Matrix coordinates = Matrix.doubles(source.rows(), components());
        try {
            centring.forEachBlock(List.of(source), Integer.MAX_VALUE, (first, rows, x) -> {
                try (Matrix block = Matrix.doubles(rows, features.columns())) {
                    block.put(0, x);
                    project(block, Block.of(coordinates, first, 0));
                }
            });
        } catch (RuntimeException | Error e) {
            coordinates.close();
            throw e;
        }
        return coordinates;
    }

    private void project(Matrix block, Block into) {
        try (Matrix kernel = Blas.productWithTransposed(block, features)) {
            Parallel.tiles(
                    components(),
                    Blas.TILE,
                    (from, to) -> Blas.multiply(
                            block.rows(),
                            to - from,
                            kernel.columns(),
                            Block.of(kernel),
                            Block.transposed(axes, from, 0),
                            0,
                            Block.of(into.matrix(), into.row(), from)));
        }
    }

    /**
     * The features [R, F] whose products with centred features are coordinates along the given directions.
     *
     * @param directions [M, R] in the space of the coordinates
     */
    Matrix projection(Matrix directions) {
        try (Matrix ofLandmarks = Blas.transposedProduct(directions, axes)) {
            return Blas.product(ofLandmarks, features);
        }
    }

    @Override
    public void close() {
        features.close();
        axes.close();
    }
}
