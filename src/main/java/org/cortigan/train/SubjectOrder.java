// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

/**
 * Whose batch each step of a run is. An epoch has every subject as often as it has batches, in a random order that is
 * new in every epoch.
 */
final class SubjectOrder {
    private final long[] batches;
    private final long seed;
    private final long stepsPerEpoch;
    private int[] order;
    private long orderedEpoch = -1;

    /** @param batches of each subject in an epoch */
    SubjectOrder(long[] batches, long seed) {
        this.batches = batches.clone();
        this.seed = seed;
        long sum = 0;
        for (long n : batches) sum += n;
        stepsPerEpoch = sum;
    }

    /** Steps of all subjects in an epoch. */
    long stepsPerEpoch() {
        return stepsPerEpoch;
    }

    /** Index of the subject whose batch a step (0, 1, ...) is. Allocates nothing within an epoch. */
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
