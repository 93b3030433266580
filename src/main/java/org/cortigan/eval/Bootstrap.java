// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import java.util.Arrays;
import java.util.Locale;

/**
 * Confidence intervals of a metric over training runs with different seeds. An interval covers the variation over seeds
 * only, as its method states; it says nothing about other images or subjects.
 */
public final class Bootstrap {
    private Bootstrap() {}

    /**
     * A confidence interval.
     *
     * @param method full name of the method, to be printed with the interval
     * @param confidence for example 0.95
     * @param n number of seeds
     */
    public record Interval(String method, double confidence, int n, double mean, double low, double high) {
        @Override
        public String toString() {
            return String.format(
                    Locale.ROOT, "%.4f [%.4f, %.4f] (%s, %.0f%%, n=%d)", mean, low, high, method, confidence * 100, n);
        }
    }

    /**
     * Student's t interval of the mean: mean -+ t(n-1) * s / sqrt(n), s with n - 1 degrees of freedom. This is the
     * interval to use for few seeds.
     *
     * @param perSeed the metric of each seed, at least 2 finite values
     * @param confidence in (0, 1)
     */
    public static Interval meanInterval(double[] perSeed, double confidence) {
        check(perSeed, confidence);
        int n = perSeed.length;
        double mean = Metrics.mean(perSeed);
        double squares =
                Arrays.stream(perSeed).map(x -> (x - mean) * (x - mean)).sum();
        double half = studentQuantile(0.5 + confidence / 2, n - 1) * Math.sqrt(squares / (n - 1) / n);
        return new Interval("t-interval of the mean over seeds", confidence, n, mean, mean - half, mean + half);
    }

    private static void check(double[] perSeed, double confidence) {
        if (perSeed.length < 2) {
            throw new IllegalArgumentException("an interval over seeds needs at least 2 seeds, not " + perSeed.length);
        }
        if (!(confidence > 0 && confidence < 1)) {
            throw new IllegalArgumentException("confidence must lie between 0 and 1, not " + confidence);
        }
        for (double value : perSeed) {
            if (!Double.isFinite(value)) {
                throw new IllegalArgumentException("the value of a seed is " + value);
            }
        }
    }

    /** The t with P(T <= t) = p, for p > 1/2, by bisection of {@link #studentTail}. */
    static double studentQuantile(double p, int degrees) {
        double low = 0;
        double high = 1;
        while (studentTail(high, degrees) > 1 - p) {
            low = high;
            high *= 2;
        }
        for (int i = 0; i < 200 && low < high; i++) {
            double middle = (low + high) / 2;
            if (middle == low || middle == high) {
                break;
            }
            if (studentTail(middle, degrees) > 1 - p) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return (low + high) / 2;
    }

    /**
     * P(T > t) for t >= 0 and integer degrees of freedom: the finite trigonometric sums of Abramowitz and Stegun,
     * 26.7.3 and 26.7.4, in theta = atan(t / sqrt(degrees)).
     */
    private static double studentTail(double t, int degrees) {
        double theta = Math.atan(t / Math.sqrt(degrees));
        double cos2 = Math.cos(theta) * Math.cos(theta);
        double within; // P(|T| <= t)
        if (degrees % 2 == 1) {
            double term = Math.cos(theta);
            double sum = 0;
            for (int i = 3; i <= degrees; i += 2) {
                sum += term;
                term *= cos2 * (i - 1) / i;
            }
            within = 2 / Math.PI * (theta + Math.sin(theta) * sum);
        } else {
            double term = 1;
            double sum = 0;
            for (int i = 2; i <= degrees; i += 2) {
                sum += term;
                term *= cos2 * (i - 1) / i;
            }
            within = Math.sin(theta) * sum;
        }
        return (1 - within) / 2;
    }
}
