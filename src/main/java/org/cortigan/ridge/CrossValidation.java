// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

/** Scores the predictions of images that are held out, for each penalty of a grid and each vertex. */
interface CrossValidation {
    /**
     * Scores all vertices of a block.
     *
     * @param table receives a row for each penalty, with a column for each vertex in the order of the rotation: R2, or
     *     Pearson's r if that is the criterion
     */
    void score(Responses.Block block, Rotation rotation, double[][] table);
}
