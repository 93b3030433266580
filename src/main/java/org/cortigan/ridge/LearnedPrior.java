// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.eval.RowSource;

/**
 * A linear readout by empirical Bayes: the weights of all vertices share a Gaussian prior, whose covariance is learned
 * from all vertices of all subjects.
 *
 * <p>A ridge regression assumes that all directions in the space of features are equally likely to drive a vertex. Here
 * expectation maximisation (Dempster, Laird and Rubin 1977; MacKay 1992) learns which directions many vertices use. The
 * R directions along which predictions vary most under the prior are kept. Each group of enough vertices then refines
 * the prior for itself, and each vertex averages over its own penalty by the evidence.
 *
 * <p>Three folds of consecutive training images choose the number of steps: noise that vertices share would otherwise
 * pass for a direction that they use. A covariance of M dimensions is shrunk to its start as if M vertices more had
 * that, the mode under an inverse Wishart prior, so that few vertices do not overfit it.
 *
 * <p>Features are centred on each subject's mean and not scaled. Responses are standardised for each vertex, so that
 * predictions follow any scale and offset of the responses; a constant vertex has weights of 0. If there are more than
 * 2,048 images, the features of 2,048 landmarks span the space (Nyström's method; Williams and Seeger 2001).
 *
 * <p>Sums run in double and in a fixed order, so that equal input gives equal bits on any number of threads. A fitted
 * instance is immutable and thread-safe.
 *
 * <p>Memory during the fit, with n landmarks and N images of a subject, at most: outside the Java heap
 *
 * <ul>
 *   <li>8 (n + R) F bytes for the landmarks' features and the projection, and about 60 n^2 for the covariances;
 *   <li>for each subject 8 n N for the coordinates, and 16 n^2 + 6 n N for the moments. The moments of the folds and
 *       those of all images are not held at once;
 *   <li>for one subject at a time 8 n N for coordinates without the images of a fold, and 32,768 (n + N / 3) for the
 *       products of 4,096 vertices, or later 8 R V for the products of all;
 *   <li>for each thread 2,048 N for the standardised responses of 256 vertices.
 * </ul>
 *
 * <p>In the heap are 4 R V bytes of each subject for the weights, 12 R F for the projection, 8 n^2 for the inversion of
 * a covariance, and a block of responses. A block fills an eighth of the largest heap and at most 512 MiB, but holds at
 * least 4,096 vertices. Each block is one pass over a subject's responses, and all vertices are read five times, or
 * twice if a subject has fewer than 6 images.
 */
public final class LearnedPrior {
    /**
     * The training images of a subject.
     *
     * @param features [N, F], read three times; all subjects have the same F features
     * @param responses [N, V]
     * @param groups for each vertex [V] the number of its group, from 0; vertices of a group share a prior
     */
    public record Sample(RowSource features, RowSource responses, int[] groups) {}

    /**
     * Options of the fit.
     *
     * @param rank number R of directions that are kept, at least 1
     * @param iterations most steps of expectation maximisation for the prior that all vertices share
     * @param groupIterations further steps for each group that has at least as many vertices as there are directions
     */
    public record Options(int rank, int iterations, int groupIterations) {
        public Options {
            if (rank < 1 || iterations < 0 || groupIterations < 0) {
                throw new IllegalArgumentException("rank must be at least 1, and iterations at least 0, not " + rank
                        + ", " + iterations + " and " + groupIterations);
            }
        }

        /** Rank 384, 12 iterations, and 3 for each group. */
        public static Options defaults() {
            return new Options(384, 12, 3);
        }

        /** The same with another rank. */
        public Options withRank(int r) {
            return new Options(r, iterations, groupIterations);
        }
    }

    private final int rank;
    private final LearnedPriorFit.Result result;

    private LearnedPrior(int rank, LearnedPriorFit.Result result) {
        this.rank = rank;
        this.result = result;
    }

    /**
     * Fits the prior and the weights of all subjects.
     *
     * @throws InputException if features and responses of a subject have different numbers of images, or fewer than 3,
     *     if subjects have different numbers of features, if a value is not finite (the message names row and column),
     *     or if all features are constant
     * @throws IllegalArgumentException if there is no subject, or if the groups do not fit the vertices
     */
    public static LearnedPrior fit(List<Sample> subjects, Options options) {
        return fit(subjects, options, Landmarks.MOST);
    }

    static LearnedPrior fit(List<Sample> subjects, Options options, int mostLandmarks) {
        Blas.load();
        requireFit(subjects);
        try (LearnedPriorFit fit = new LearnedPriorFit(
                subjects.stream()
                        .map(s -> new PriorSubject(s.features, new Responses(s.responses), s.groups))
                        .toList(),
                options.rank,
                options.iterations,
                options.groupIterations)) {
            return new LearnedPrior(options.rank, fit.run(mostLandmarks));
        }
    }

    private static void requireFit(List<Sample> subjects) {
        if (subjects.isEmpty()) {
            throw new IllegalArgumentException("a prior needs a subject");
        }
        for (Sample s : subjects) {
            int images = s.features.rows();
            if (images != s.responses.rows() || images < 3) {
                throw new InputException(
                        "learned prior",
                        images + " images have features and " + s.responses.rows() + " have responses",
                        "Give the same images for both, at least 3");
            }
            int features = subjects.get(0).features.columns();
            if (s.features.columns() != features) {
                throw new InputException(
                        "learned prior",
                        "the images of one subject have " + features + " features and those of another "
                                + s.features.columns(),
                        "Compute the features of all subjects with the same settings");
            }
            int vertices = s.responses.columns();
            if (s.groups.length != vertices || Arrays.stream(s.groups).min().orElse(0) < 0) {
                throw new IllegalArgumentException(
                        s.groups.length + " groups, which must be numbers from 0, for " + vertices + " vertices");
            }
        }
    }

    /** Number of rows of the projection: the rank of the options. */
    public int rank() {
        return rank;
    }

    /**
     * Number of directions in use, at most the rank. Few images span fewer directions than the options ask for; the
     * further rows of the projection and the further weights are 0.
     */
    public int components() {
        return result.components();
    }

    /** Number of steps of expectation maximisation that predict held-out images best, at most that of the options. */
    public int iterations() {
        return result.iterations();
    }

    /** The directions that all subjects share: [rank, F], row-major. Features need not be centred. */
    public float[] projection() {
        return result.projection().clone();
    }

    /**
     * The weights [V, rank] of a subject's vertices, row-major. The prediction of a vertex, in the units of the
     * responses, is its bias plus the sum of the weights times the projections of an image's features.
     */
    public float[] weights(int subject) {
        return result.readouts().get(subject).weights().clone();
    }

    /** The bias [V] of a subject's vertices. */
    public float[] bias(int subject) {
        return result.readouts().get(subject).bias().clone();
    }

    /** The variance of the noise of a subject's standardised responses after {@link #iterations()} steps. */
    double noise(int subject) {
        return result.readouts().get(subject).noise();
    }
}
