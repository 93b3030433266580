// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import org.cortigan.InputException;
import org.cortigan.eval.PermutationTest;
import picocli.CommandLine.Option;

/** Options of the permutation test of each vertex's r. */
final class SignificanceOptions {
    @Option(
            names = "--permutations",
            defaultValue = "0",
            paramLabel = "N",
            description = "Permutations of the images for a one-sided p of each vertex's r, for example 1000 (default"
                    + " ${DEFAULT-VALUE}: no test). Writes {lh,rh}_p.npy and _q.npy (q: false discovery rate of Benjamini"
                    + " and Hochberg). Needs 8 bytes of memory for each image and vertex.")
    private int permutations;

    @Option(
            names = "--permutation-seed",
            defaultValue = "0",
            paramLabel = "N",
            description = "Seed of the permutations (default ${DEFAULT-VALUE}).")
    private long seed;

    PermutationTest.Design design() {
        if (permutations < 0)
            throw new InputException("--permutations " + permutations, "is negative", "Give 0 for no test, or more");
        return new PermutationTest.Design(permutations, seed);
    }
}
