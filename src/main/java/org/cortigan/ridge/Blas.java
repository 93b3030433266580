// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import static org.bytedeco.openblas.global.openblas.CblasLeft;
import static org.bytedeco.openblas.global.openblas.CblasLower;
import static org.bytedeco.openblas.global.openblas.CblasNoTrans;
import static org.bytedeco.openblas.global.openblas.CblasRowMajor;
import static org.bytedeco.openblas.global.openblas.CblasTrans;
import static org.bytedeco.openblas.global.openblas.LAPACK_COL_MAJOR;

import java.util.Arrays;
import org.bytedeco.openblas.global.openblas;
import org.cortigan.InputException;
import org.cortigan.eval.Parallel;
import org.cortigan.jni.NativeLoader;

/**
 * Products and eigenvectors by OpenBLAS. Each call of OpenBLAS runs on one thread, and this class divides a product
 * into tiles of a fixed size that run in parallel. So the bits of a result do not depend on the number of threads, and
 * OpenBLAS's own threads do not contend with those of Java and oneDNN.
 */
final class Blas {
    /** Rows and columns of a tile: large enough that a product runs at the full rate of a core. */
    static final int TILE = 256;

    /** Largest matrix whose eigenvectors LAPACK's 32-bit workspace sizes allow. */
    private static final int MOST_EIGENVECTORS = 30_000;

    private Blas() {}

    /**
     * Loads OpenBLAS, with one thread a call; to be called before anything else here.
     *
     * @throws InputException with the whole cause chain, if the library cannot be loaded
     */
    static void load() {
        try {
            openblas.blas_set_num_threads(1);
        } catch (LinkageError e) {
            throw NativeLoader.failed(
                    "OpenBLAS",
                    e,
                    "Put both jars of org.bytedeco:openblas, one of them for linux-x86_64, on the class path");
        }
    }

    /** Part of a matrix that a product reads or writes, as it is or transposed. */
    record Block(Matrix matrix, int row, int column, boolean transposed) {
        static Block of(Matrix m) {
            return new Block(m, 0, 0, false);
        }

        static Block of(Matrix m, int row, int column) {
            return new Block(m, row, column, false);
        }

        /** The transpose of the block that begins at an element. */
        static Block transposed(Matrix m, int row, int column) {
            return new Block(m, row, column, true);
        }

        private int transposition() {
            return transposed ? CblasTrans : CblasNoTrans;
        }
    }

    /**
     * On the calling thread: c [m, n] = a [m, inner] b [inner, n] + beta c. The elements of all three are of one type.
     */
    static void multiply(int m, int n, int inner, Block a, Block b, double beta, Block c) {
        int lda = a.matrix.columns(), ldb = b.matrix.columns(), ldc = c.matrix.columns();
        if (a.matrix.isDouble()) {
            openblas.cblas_dgemm(
                    CblasRowMajor,
                    a.transposition(),
                    b.transposition(),
                    m,
                    n,
                    inner,
                    1,
                    a.matrix.doublesAt(a.row, a.column),
                    lda,
                    b.matrix.doublesAt(b.row, b.column),
                    ldb,
                    beta,
                    c.matrix.doublesAt(c.row, c.column),
                    ldc);
        } else {
            openblas.cblas_sgemm(
                    CblasRowMajor,
                    a.transposition(),
                    b.transposition(),
                    m,
                    n,
                    inner,
                    1,
                    a.matrix.floatsAt(a.row, a.column),
                    lda,
                    b.matrix.floatsAt(b.row, b.column),
                    ldb,
                    (float) beta,
                    c.matrix.floatsAt(c.row, c.column),
                    ldc);
        }
    }

    /** In parallel: a [m, inner] b [inner, n]. */
    static Matrix product(Matrix a, Matrix b) {
        return product(a, false, b, false);
    }

    /** In parallel: a [m, inner] b' for b [n, inner]. */
    static Matrix productWithTransposed(Matrix a, Matrix b) {
        return product(a, false, b, true);
    }

    /** In parallel: a' b for a [inner, m] and b [inner, n]. */
    static Matrix transposedProduct(Matrix a, Matrix b) {
        return product(a, true, b, false);
    }

    private static Matrix product(Matrix a, boolean transposesA, Matrix b, boolean transposesB) {
        int inner = transposesA ? a.rows() : a.columns();
        Matrix c = Matrix.doubles(transposesA ? a.columns() : a.rows(), transposesB ? b.rows() : b.columns());
        tiles(
                c.rows(),
                c.columns(),
                (i, m, j, n) -> multiply(
                        m,
                        n,
                        inner,
                        transposesA ? Block.transposed(a, 0, i) : Block.of(a, i, 0),
                        transposesB ? Block.transposed(b, j, 0) : Block.of(b, 0, j),
                        0,
                        Block.of(c, i, j)));
        return c;
    }

    /** In parallel: x x' of the given columns of x; only the lower triangle of the result is complete. */
    static Matrix gramOfRows(Matrix x, int firstColumn, int columns) {
        Matrix gram = Matrix.doubles(x.rows(), x.rows());
        addGramOfRows(x, firstColumn, columns, gram);
        return gram;
    }

    /** In parallel: adds x x' of the given columns of x to the lower triangle of a matrix. */
    static void addGramOfRows(Matrix x, int firstColumn, int columns, Matrix gram) {
        lowerTiles(
                x.rows(),
                (i, m, j, n) -> multiply(
                        m,
                        n,
                        columns,
                        Block.of(x, i, firstColumn),
                        Block.transposed(x, j, firstColumn),
                        1,
                        Block.of(gram, i, j)));
    }

    /** In parallel: a b for a symmetric a [m, m], of which the lower triangle is read, and b [m, n]. */
    static Matrix symmetricProduct(Matrix a, Matrix b) {
        Matrix c = Matrix.doubles(b.rows(), b.columns());
        Parallel.tiles(
                b.columns(),
                TILE,
                (from, to) -> openblas.cblas_dsymm(
                        CblasRowMajor,
                        CblasLeft,
                        CblasLower,
                        b.rows(),
                        to - from,
                        1,
                        a.doublesAt(0, 0),
                        a.columns(),
                        b.doublesAt(0, from),
                        b.columns(),
                        0,
                        c.doublesAt(0, from),
                        c.columns()));
        return c;
    }

    /** In parallel: x' x; only the lower triangle of the result is complete. */
    static Matrix gramOfColumns(Matrix x) {
        Matrix gram = Matrix.doubles(x.columns(), x.columns());
        lowerTiles(
                x.columns(),
                (i, m, j, n) -> multiply(
                        m, n, x.rows(), Block.transposed(x, 0, i), Block.of(x, 0, j), 0, Block.of(gram, i, j)));
        return gram;
    }

    /** Work on the tile [m, n] that begins at an element. */
    @FunctionalInterface
    private interface TileBody {
        void run(int row, int m, int column, int n);
    }

    /** Runs {@code body} on the tiles of the lower triangle of a square matrix, diagonal tiles included. */
    private static void lowerTiles(int size, TileBody body) {
        tiles(size, size, (i, m, j, n) -> {
            if (j <= i) {
                body.run(i, m, j, n);
            }
        });
    }

    /** Runs {@code body} on the tiles of a matrix. */
    private static void tiles(int rows, int columns, TileBody body) {
        int across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE;
        Parallel.tiles(down * across, 1, (tile, end) -> {
            int i = tile / across * TILE, j = tile % across * TILE;
            body.run(i, Math.min(TILE, rows - i), j, Math.min(TILE, columns - j));
        });
    }

    /**
     * Replaces a symmetric matrix, of which the lower triangle is read, by its eigenvectors, one a row.
     *
     * @return the eigenvalues, in ascending order
     */
    static double[] eigenvectors(Matrix symmetric) {
        int n = symmetric.rows();
        if (n > MOST_EIGENVECTORS) {
            throw new InputException(
                    "ridge",
                    "the smaller of the numbers of images and features is " + n
                            + ", more than OpenBLAS can compute eigenvectors of",
                    "Give at most " + MOST_EIGENVECTORS + " images, or features");
        }
        double[] values = new double[n];
        try (Matrix v = Matrix.doubles(1, n)) {
            // The lower triangle by rows is the upper triangle by columns.
            int info = openblas.LAPACKE_dsyevd(
                    LAPACK_COL_MAJOR, (byte) 'V', (byte) 'U', n, symmetric.doublesAt(0, 0), n, v.doublesAt(0, 0));
            if (info != 0) {
                throw new IllegalStateException(
                        "the eigenvalues of the features' Gram matrix did not converge: " + info);
            }
            v.doublesAt(0, 0).get(values);
        }
        return values;
    }

    /**
     * Replaces a symmetric positive definite matrix, of which the lower triangle is read, by its inverse, as a whole.
     */
    static void invert(Matrix positive) {
        int n = positive.rows();
        int info = openblas.LAPACKE_dpotrf(LAPACK_COL_MAJOR, (byte) 'U', n, positive.doublesAt(0, 0), n);
        if (info == 0) {
            info = openblas.LAPACKE_dpotri(LAPACK_COL_MAJOR, (byte) 'U', n, positive.doublesAt(0, 0), n);
        }
        requirePositive(info);
        positive.mirror();
    }

    /**
     * Replaces a symmetric positive definite matrix, of which the lower triangle is read, by its Cholesky factor, a
     * lower triangle.
     */
    static void cholesky(Matrix positive) {
        int n = positive.rows();
        requirePositive(openblas.LAPACKE_dpotrf(LAPACK_COL_MAJOR, (byte) 'U', n, positive.doublesAt(0, 0), n));
        positive.forEachRow((row, values) -> Arrays.fill(values, row + 1, n, 0));
    }

    private static void requirePositive(int info) {
        if (info != 0) {
            throw new IllegalStateException("a matrix is not positive definite, with the status " + info);
        }
    }
}
