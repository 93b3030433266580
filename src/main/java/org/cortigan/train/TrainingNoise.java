// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import org.cortigan.model.Diffusion;
import org.cortigan.model.DiffusionSchedule;
import org.cortigan.op.Philox;

/**
 * The noise of training steps of a readout that denoises responses. The noise of a photograph is a function of the
 * seed, the photograph and the epoch, and so is its timestep.
 *
 * @param terminalShare probability of the last timestep; the others are equally probable
 */
record TrainingNoise(double terminalShare, long seed) {
    /**
     * Fills in the random numbers of a batch.
     *
     * @param images numbers of the photographs among the subject's training photographs
     * @param rows receives for each photograph its number and the epoch
     */
    void fill(int[] images, long epoch, int[] rows, int[] timesteps) {
        int[] key = Diffusion.key(seed);
        for (int i = 0; i < images.length; i++) {
            rows[2 * i] = images[i];
            rows[2 * i + 1] = (int) epoch;
            timesteps[i] = drawn(key, images[i], (int) epoch);
        }
    }

    private int drawn(int[] key, int image, int epoch) {
        int[] words = Philox.words(key, 0, Diffusion.TIMESTEPS, image, epoch);
        if (Integer.toUnsignedLong(words[1]) < terminalShare * 0x1p32) return DiffusionSchedule.LAST;
        return (int) (Integer.toUnsignedLong(words[0]) * DiffusionSchedule.TIMESTEPS >>> Integer.SIZE);
    }
}
