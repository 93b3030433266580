// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

/** Products of row-major matrices in double. Their bits do not depend on the number of threads. */
final class MatrixProducts {
    private MatrixProducts() {}

    /** x [rows, inner] times b [inner, n]. */
    static double[] multiply(double[] x, int rows, double[] b, int n, int inner) {
        double[] c = new double[rows * n];
        Parallel.tiles(
                rows, 16, (from, to) -> add(x, from * inner, inner, 1, b, 0, n, c, from * n, n, to - from, inner, n));
        return c;
    }

    /** c [m, n] += a' b for a [rows, m] and b [rows, n]. */
    static void addTransposed(double[] a, int m, double[] b, int n, int rows, double[] c) {
        Parallel.tiles(m, 16, (from, to) -> add(a, from, 1, m, b, 0, n, c, from * n, n, to - from, rows, n));
    }

    /**
     * c [m, n] += a [m, inner] b [inner, n], where rows of b and c are contiguous. Each element of c adds its terms in
     * ascending order of the inner index, in groups of four. The order does not depend on the tiles, so the result does
     * not depend on the number of threads.
     */
    static void add(
            double[] a,
            int aAt,
            int aRow,
            int aInner,
            double[] b,
            int bAt,
            int bRow,
            double[] c,
            int cAt,
            int cRow,
            int m,
            int inner,
            int n) {
        int block = 32; // Rows of b that stay in the L2 cache during the loop over all rows of c.
        for (int from = 0; from < inner; from += block) {
            int to = Math.min(inner, from + block);
            for (int i = 0; i < m; i++) {
                int at = aAt + i * aRow;
                int p = from;
                for (; p + 3 < to; p += 4) {
                    axpy4(
                            a[at + p * aInner],
                            a[at + (p + 1) * aInner],
                            a[at + (p + 2) * aInner],
                            a[at + (p + 3) * aInner],
                            b,
                            bAt + p * bRow,
                            bRow,
                            c,
                            cAt + i * cRow,
                            n);
                }
                for (; p < to; p++) {
                    axpy(a[at + p * aInner], b, bAt + p * bRow, c, cAt + i * cRow, n);
                }
            }
        }
    }

    /** A separate small method, because the JIT compiler vectorises a loop of exactly this shape. */
    private static void axpy4(
            double a0, double a1, double a2, double a3, double[] b, int b0, int bRow, double[] c, int cAt, int n) {
        int b1 = b0 + bRow;
        int b2 = b1 + bRow;
        int b3 = b2 + bRow;
        for (int i = 0; i < n; i++) {
            c[cAt + i] += (a0 * b[b0 + i] + a1 * b[b1 + i]) + (a2 * b[b2 + i] + a3 * b[b3 + i]);
        }
    }

    private static void axpy(double a, double[] b, int bAt, double[] c, int cAt, int n) {
        for (int i = 0; i < n; i++) {
            c[cAt + i] += a * b[bAt + i];
        }
    }
}
