// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import org.cortigan.model.Diffusion;
import org.cortigan.model.DiffusionSchedule;
import org.cortigan.op.Philox;

/**
 * The noise of training steps of a readout that denoises responses. The noise of a photograph is a function of the
 * seed, the photograph and the epoch; so is its timestep, except that the first photographs of a micro-batch have the
 * last timestep.
 *
 * @param microBatch photographs of a micro-batch
 * @param terminalShare share of them, rounded up, that have the last timestep
 */
record TrainingNoise(int microBatch, double terminalShare, long seed) {
    /**
     * Fills in the random numbers of a batch.
     *
     * @param images numbers of the photographs among the subject's training photographs
     * @param rows receives for each photograph its number and the epoch
     */
    void fill(int[] images, long epoch, int[] rows, int[] timesteps) {
        int terminal = (int) Math.ceil(terminalShare * microBatch);
        int[] key = Diffusion.key(seed);
        for (int i = 0; i < images.length; i++) {
            rows[2 * i] = images[i];
            rows[2 * i + 1] = (int) epoch;
            timesteps[i] = i % microBatch < terminal ? DiffusionSchedule.LAST : drawn(key, images[i], (int) epoch);
        }
    }

    private static int drawn(int[] key, int image, int epoch) {
        int word = Philox.words(key, 0, Diffusion.TIMESTEPS, image, epoch)[0];
        return (int) (Integer.toUnsignedLong(word) * DiffusionSchedule.TIMESTEPS >>> Integer.SIZE);
    }
}
