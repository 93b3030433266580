// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

/**
 * How many trials (presentations) of an image a response is the mean of. The mean of n trials has a n-th of a single
 * trial's noise variance.
 *
 * @param noiseShare share of a single trial's noise variance that is left, mean over the images, in (0, 1]
 */
public record AveragedTrials(double noiseShare) {
    public AveragedTrials {
        if (!(noiseShare > 0 && noiseShare <= 1)) throw new IllegalArgumentException("noise share " + noiseShare);
    }

    /** Every response is the mean of {@code trials} trials. */
    public static AveragedTrials of(int trials) {
        return new AveragedTrials(1.0 / trials);
    }

    /**
     * The responses are to images that were seen three times, twice or once, as in NSD.
     *
     * @param three number of images seen three times
     * @param two number of images seen twice
     * @param one number of images seen once
     */
    public static AveragedTrials ofSeen(int three, int two, int one) {
        return new AveragedTrials((three / 3.0 + two / 2.0 + one) / ((double) three + two + one));
    }
}
