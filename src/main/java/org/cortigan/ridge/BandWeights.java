// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Candidates for the weights of a banded ridge's kernels. */
public final class BandWeights {
    private BandWeights() {}

    /**
     * Points of the simplex: the centre (a plain ridge on the joined features), the corners (each band alone), and
     * samples of Dirichlet distributions with concentration 0.1 and 1 in turn, as himalaya's random search (Dupré la
     * Tour et al. 2022).
     *
     * @param bands number of bands, at least 1
     * @param samples number of Dirichlet samples
     * @param seed seed of the samples
     * @return candidates [bands], each with sum 1; of a single band only the centre
     */
    public static List<double[]> candidates(int bands, int samples, long seed) {
        List<double[]> all = new ArrayList<>();
        double[] centre = new double[bands];
        Arrays.fill(centre, 1.0 / bands);
        all.add(centre);
        if (bands == 1) return all;
        for (int b = 0; b < bands; b++) {
            double[] corner = new double[bands];
            corner[b] = 1;
            all.add(corner);
        }
        Random random = new Random(seed);
        for (int i = 0; i < samples; i++) {
            all.add(dirichlet(bands, i % 2 == 0 ? 0.1 : 1, random));
        }
        return all;
    }

    /** Normalised gamma variates, whose logarithms keep tiny values apart from 0. */
    private static double[] dirichlet(int n, double concentration, Random random) {
        double[] logs = new double[n];
        Arrays.setAll(logs, i -> logGamma(concentration, random));
        double most = Arrays.stream(logs).max().orElseThrow();
        double[] weights = Arrays.stream(logs).map(l -> Math.exp(l - most)).toArray();
        double sum = Arrays.stream(weights).sum();
        return Arrays.stream(weights).map(w -> w / sum).toArray();
    }

    /**
     * The logarithm of a gamma variate of shape at most 1: Marsaglia and Tsang (2000) with shape + 1, times
     * U^(1/shape).
     */
    private static double logGamma(double shape, Random random) {
        double d = shape + 1 - 1.0 / 3;
        double c = 1 / Math.sqrt(9 * d);
        while (true) {
            double x = random.nextGaussian();
            double v = 1 + c * x;
            if (v > 0 && Math.log(1 - random.nextDouble()) < x * x / 2 + d * (1 - v * v * v + 3 * Math.log(v))) {
                return Math.log(d) + 3 * Math.log(v) + Math.log(1 - random.nextDouble()) / shape;
            }
        }
    }
}
