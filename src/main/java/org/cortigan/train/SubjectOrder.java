// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

/**
 * Decides which subject each step of a run trains on. An epoch contains every subject as often as the subject has
 * batches, in a new random order.
 */
final class SubjectOrder {
    private final long[] batches;
    private final long seed;
    private final long stepsPerEpoch;
    private int[] order = {};
    private long orderedEpoch = -1;

    /** @param batches batches per epoch of each subject */
    SubjectOrder(long[] batches, long seed) {
        this.batches = batches.clone();
        this.seed = seed;
        long sum = 0;
        for (long n : batches) sum += n;
        stepsPerEpoch = sum;
    }

    /** Steps per epoch, of all subjects together. */
    long stepsPerEpoch() {
        return stepsPerEpoch;
    }

    /** Index of the subject of a step (0, 1, ...). Allocates nothing within an epoch. */
    int subjectOfStep(long step) {
        if (batches.length == 1) return 0;
        long epoch = step / stepsPerEpoch;
        if (epoch != orderedEpoch) {
            order = shuffled(epoch);
            orderedEpoch = epoch;
        }
        return order[(int) (step % stepsPerEpoch)];
    }

    private int[] shuffled(long epoch) {
        int[] subjects = new int[(int) stepsPerEpoch];
        int at = 0;
        for (int subject = 0; subject < batches.length; subject++)
            for (long k = 0; k < batches[subject]; k++) subjects[at++] = subject;
        Permutations.shuffle(subjects, ~seed, epoch);
        return subjects;
    }
}
