// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import org.cortigan.InputException;
import org.cortigan.eval.RowSource;

/** Reads a matrix in blocks of rows and checks that its values are finite. */
final class RowBlocks {
    /** Values in a block of rows: 8 MiB of floats. */
    private static final int BLOCK_VALUES = 1 << 21;

    private RowBlocks() {}

    /** Work on a block of rows, row-major. The array is reused for the next block. */
    @FunctionalInterface
    interface Body {
        void accept(int firstRow, int rows, float[] values);
    }

    /**
     * Runs {@code body} on consecutive blocks.
     *
     * @param what content of the matrix, for messages
     * @throws InputException if a value is not finite (the message names row and column)
     */
    static void forEach(RowSource source, String what, Body body) {
        forEach(source, what, Integer.MAX_VALUE, body);
    }

    /** The same in blocks of at most {@code most} rows. */
    static void forEach(RowSource source, String what, int most, Body body) {
        int columns = source.columns();
        int blockRows = Math.max(1, Math.min(Math.min(source.rows(), most), BLOCK_VALUES / columns));
        float[] block = new float[blockRows * columns];
        for (int first = 0; first < source.rows(); first += blockRows) {
            int rows = Math.min(blockRows, source.rows() - first);
            source.read(first, rows, block);
            for (int i = 0; i < rows * columns; i++) {
                if (!Float.isFinite(block[i])) {
                    throw new InputException(
                            what + ", image row " + (first + i / columns) + ", column " + i % columns,
                            "the value is " + block[i] + ", not a finite number",
                            "Check the file or model that the value comes from (rows and columns count from 0)");
                }
            }
            body.accept(first, rows, block);
        }
    }
}
