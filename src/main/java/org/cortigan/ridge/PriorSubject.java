// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.cortigan.eval.Parallel;
import org.cortigan.eval.RowSource;
import org.cortigan.ridge.Blas.Block;
import org.jspecify.annotations.Nullable;

/** A subject's images and responses during the fit of a {@code LearnedPrior}. */
final class PriorSubject implements AutoCloseable {
    /**
     * Tiles of vertices whose products with the coordinates are in memory at a time. Blocks of responses hold a
     * multiple of them, so that the size of a block does not change the order of a sum.
     */
    private static final int TILES = 16;

    private final RowSource features;
    private final Features centring;
    private final Responses responses;
    private final int[] groups; // [V]
    private @Nullable Matrix coordinates; // A [N, M]

    /** Reads the features once. The arguments are those of {@code LearnedPrior.Sample}. */
    PriorSubject(RowSource features, Responses responses, int[] groups) {
        this.features = features;
        this.responses = responses;
        this.groups = groups;
        centring = new Features(List.of(features), false);
    }

    RowSource features() {
        return features;
    }

    Features centring() {
        return centring;
    }

    int images() {
        return features.rows();
    }

    int group(int vertex) {
        return groups[vertex];
    }

    int vertices() {
        return groups.length;
    }

    /** Mean of each vertex [V], known after {@link #moments()} or {@link #fold}. */
    double[] mean() {
        return responses.mean();
    }

    /**
     * Standard deviation of each vertex [V], known after {@link #moments()} or {@link #fold}; 0 for a constant vertex.
     */
    double[] deviation() {
        return responses.deviation();
    }

    /** Takes over the coordinates [N, M] of the images. */
    void setCoordinates(Matrix a) {
        close();
        coordinates = a;
    }

    Matrix coordinates() {
        return Objects.requireNonNull(coordinates);
    }

    /** The moments of all vertices and images; reads the responses once. */
    PriorMoments moments() {
        try (HeldOut none = new HeldOut(this, 0, 0)) {
            return none.moments();
        }
    }

    /**
     * Images that are held out to validate a prior, beside what the other images tell.
     *
     * @param training moments of the other images
     * @param coordinates [n, M] of the images
     * @param cross mean over vertices of the responses to the images times A'y of the others [n, M]
     */
    record Fold(PriorMoments training, Matrix coordinates, Matrix cross) implements AutoCloseable {
        /** Mean squared error of a prediction of the images' responses, a share of the variance. */
        double error(Matrix precision, double noise) {
            return training.squaredError(precision, noise, coordinates, cross) / coordinates.rows();
        }

        @Override
        public void close() {
            training.close();
            coordinates.close();
            cross.close();
        }
    }

    /** Holds consecutive images out; reads the responses once. */
    Fold fold(int first, int n) {
        try (HeldOut heldOut = new HeldOut(this, first, n)) {
            PriorMoments training = heldOut.moments();
            try {
                return new Fold(training, coordinates().copyOfRows(first, n), heldOut.takeCross());
            } catch (RuntimeException | Error e) {
                training.close();
                throw e;
            }
        }
    }

    /** Accumulates moments over blocks of vertices, without some images. */
    private static final class HeldOut implements AutoCloseable {
        private final PriorSubject subject;
        private final int first;
        private final int n;
        private final Matrix training; // [N, M], 0 for the images that are held out
        private final Matrix heldOut; // [n, M]
        private boolean taken;

        HeldOut(PriorSubject subject, int first, int n) {
            this.subject = subject;
            this.first = first;
            this.n = n;
            training = subject.coordinates().copyOfRows(0, subject.images());
            try {
                double[] zeros = new double[training.columns()];
                IntStream.range(first, first + n).forEach(row -> training.put(row, zeros));
                heldOut = Matrix.doubles(n, training.columns());
            } catch (RuntimeException | Error e) {
                training.close();
                throw e;
            }
        }

        PriorMoments moments() {
            int components = training.columns();
            Matrix cross = Matrix.doubles(components, components);
            try {
                subject.responses.forEachBlock(
                        IntStream.range(0, subject.vertices()).toArray(), TILES, block -> {
                            for (int tile = 0; tile < block.tiles(); tile += TILES) {
                                add(block, tile * Blas.TILE, cross);
                            }
                        });
                int active = subject.active();
                cross.mirror();
                cross.scale(1.0 / Math.max(1, active));
                heldOut.scale(1.0 / Math.max(1, active));
                return new PriorMoments(Blas.gramOfColumns(training), cross, subject.images() - n, active);
            } catch (RuntimeException | Error e) {
                cross.close();
                throw e;
            }
        }

        /** Adds the products of some tiles of vertices. */
        private void add(Responses.Block block, int firstVertex, Matrix cross) {
            int vertices = Math.min(TILES * Blas.TILE, block.vertices() - firstVertex);
            try (Matrix products = Matrix.doubles(training.columns(), vertices);
                    Matrix responses = Matrix.doubles(n, vertices)) {
                Parallel.tiles(vertices, Blas.TILE, (from, to) -> {
                    int tile = block.firstTile() + (firstVertex + from) / Blas.TILE, width = to - from;
                    try (Matrix y = subject.standardised(block, tile, width)) {
                        multiplyTransposed(training, y, products, from);
                        for (int i = 0; i < n; i++) {
                            responses.put(i, from, y.getDoubles(first + i, 1));
                        }
                    }
                });
                Blas.addGramOfRows(products, 0, vertices, cross);
                try (Matrix own = Blas.productWithTransposed(responses, products)) {
                    heldOut.add(1, own);
                }
            }
        }

        /** The products with the responses to the images that are held out; the caller closes them. */
        Matrix takeCross() {
            taken = true;
            return heldOut;
        }

        @Override
        public void close() {
            training.close();
            if (!taken) {
                heldOut.close();
            }
        }
    }

    private Matrix standardised(Responses.Block block, int tile, int n) {
        Matrix y = Matrix.doubles(images(), n);
        try {
            block.standardise(tile, n, y::put);
            return y;
        } catch (RuntimeException | Error e) {
            y.close();
            throw e;
        }
    }

    /** Writes A'Y [M, n], from a column on. */
    private static void multiplyTransposed(Matrix a, Matrix y, Matrix into, int column) {
        Blas.multiply(
                a.columns(),
                y.columns(),
                a.rows(),
                Block.transposed(a, 0, 0),
                Block.of(y),
                0,
                Block.of(into, 0, column));
    }

    /** Number of vertices that are not constant, known like their deviations. */
    private int active() {
        return Math.toIntExact(Arrays.stream(deviation()).filter(d -> d > 0).count());
    }

    /** The vertices that are not constant, group by group, known like their deviations. */
    int[] verticesByGroup() {
        return IntStream.range(0, vertices())
                .filter(v -> deviation()[v] > 0)
                .boxed()
                .sorted(Comparator.comparingInt(v -> groups[v]))
                .mapToInt(Integer::intValue)
                .toArray();
    }

    /** A'Y [M, vertices] for the standardised responses of some vertices; reads the responses once. */
    Matrix products(int[] vertices) {
        Matrix products = Matrix.doubles(coordinates().columns(), vertices.length);
        try {
            responses.forEachBlock(
                    vertices,
                    block -> block.forEachTile((tile, n) -> {
                        try (Matrix y = standardised(block, tile, n)) {
                            multiplyTransposed(coordinates(), y, products, tile * Blas.TILE);
                        }
                    }));
        } catch (RuntimeException | Error e) {
            products.close();
            throw e;
        }
        return products;
    }

    @Override
    public void close() {
        if (coordinates != null) {
            coordinates.close();
        }
    }
}
