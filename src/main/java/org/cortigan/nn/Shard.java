// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

/**
 * The part of every batch that one rank of a data-parallel run has: one of {@code ranks} equal parts, in order.
 *
 * @param rank from 0 on
 */
public record Shard(int rank, int ranks) {
    /** The whole batch. */
    public static final Shard WHOLE = new Shard(0, 1);

    public Shard {
        if (rank < 0 || rank >= ranks) throw new IllegalArgumentException("rank " + rank + " of " + ranks);
    }

    /** Whether there are other ranks. */
    public boolean isPart() {
        return ranks > 1;
    }

    /**
     * Place in the whole step of a photograph of this part.
     *
     * @param k place in this part of the step, which has the parts of all micro-batches one after the other
     * @param microBatch photographs of a whole micro-batch, a multiple of the number of ranks
     */
    public int place(int k, int microBatch) {
        int share = microBatch / ranks;
        return k / share * microBatch + rank * share + k % share;
    }
}
