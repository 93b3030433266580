// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.eval.Parallel;

/** One fit of a {@code LearnedPrior}. */
final class LearnedPriorFit implements AutoCloseable {
    /** Start of expectation maximisation, in units in which the coordinates of an image have a mean square of 1. */
    private static final double START_VARIANCE = 0.3;

    private static final double START_NOISE = 0.7;

    /** Folds of consecutive images that validate the number of steps. */
    private static final int FOLDS = 3;

    /**
     * A subject's part of the result.
     *
     * @param weights [V, rank]
     * @param bias [V]
     * @param noise variance of the noise of standardised responses; the start if there is no step
     */
    record Readout(float[] weights, float[] bias, double noise) {}

    /**
     * What the fit computes.
     *
     * @param components number of rows of the projection that are not 0
     * @param iterations number of steps that validation chose
     * @param projection [rank, F]
     * @param readouts one a subject
     */
    record Result(int components, int iterations, float[] projection, List<Readout> readouts) {}

    private final int rank;
    private final int mostIterations;
    private final int groupIterations;
    private final List<PriorSubject> subjects;
    private final double[] noise; // of each subject
    private int iterations;

    /** The arguments are those of {@code LearnedPrior.Options}. The fit closes the subjects. */
    LearnedPriorFit(List<PriorSubject> subjects, int rank, int mostIterations, int groupIterations) {
        this.subjects = subjects;
        this.rank = rank;
        this.mostIterations = mostIterations;
        this.groupIterations = groupIterations;
        noise = new double[subjects.size()];
        Arrays.fill(noise, START_NOISE);
    }

    Result run(int mostLandmarks) {
        int components;
        float[] projection;
        try (Landmarks landmarks = Landmarks.of(
                subjects.stream().map(PriorSubject::features).toList(),
                subjects.stream().map(PriorSubject::centring).toList(),
                mostLandmarks)) {
            double unit = computeCoordinates(landmarks);
            try (Matrix directions = directions(landmarks.components());
                    Matrix rows = landmarks.projection(directions)) {
                subjects.forEach(s -> s.setCoordinates(Blas.product(s.coordinates(), directions)));
                rows.scale(1 / unit);
                components = rows.rows();
                projection = Matrix.rounded(rows.getDoubles(0, components));
            }
        }
        projection = Arrays.copyOf(
                projection, Math.multiplyExact(rank, subjects.get(0).features().columns()));
        List<Readout> readouts = new ArrayList<>();
        for (int s = 0; s < subjects.size(); s++) {
            readouts.add(readout(subjects.get(s), noise[s], projection));
        }
        return new Result(components, iterations, projection, readouts);
    }

    /** Gives all subjects coordinates, divided by the returned unit, so that an image's have a mean square of 1. */
    private double computeCoordinates(Landmarks landmarks) {
        double squares = 0, images = 0;
        for (PriorSubject s : subjects) {
            s.setCoordinates(landmarks.coordinates(s.features(), s.centring()));
            squares += s.coordinates().dot(s.coordinates());
            images += s.images();
        }
        double unit = Math.sqrt(squares / images);
        subjects.forEach(s -> s.coordinates().scale(1 / unit));
        return unit;
    }

    /**
     * The directions [M, R] along which predictions vary most under the shared prior. The prior of the weights is white
     * along them. The variance of the weights alone would rank the directions that images hardly differ in first, since
     * no response lowers their variance.
     */
    private Matrix directions(int components) {
        iterations = validatedIterations(components);
        List<PriorMoments> moments = new ArrayList<>();
        try (Matrix covariance = Matrix.doubles(components, components)) {
            covariance.addToDiagonal(START_VARIANCE);
            subjects.forEach(s -> moments.add(s.moments()));
            for (int i = 0; i < iterations; i++) {
                try (Matrix precision = PriorMoments.inverse(covariance)) {
                    PriorMoments.improve(covariance, precision, noise, moments, START_VARIANCE);
                }
            }
            int kept = Math.min(rank, components);
            try (Matrix gram = Matrix.doubles(components, components)) {
                moments.forEach(m -> gram.add(1, m.gram()));
                try (WhiteBasis basis = WhiteBasis.of(gram, covariance);
                        Matrix rows = basis.rows().copyOfRows(components - kept, kept)) {
                    return rows.transposed();
                }
            }
        } finally {
            moments.forEach(PriorMoments::close);
        }
    }

    /**
     * The number of steps whose prior predicts held-out images best. Noise that vertices share looks like a common
     * direction of their weights. More steps then fit the noise, and only other images show it.
     */
    private int validatedIterations(int components) {
        int fewest = subjects.stream().mapToInt(PriorSubject::images).min().orElseThrow();
        if (fewest < 2 * FOLDS) {
            return 0;
        }
        double[] errors = new double[mostIterations + 1];
        for (int fold = 0; fold < FOLDS; fold++) {
            addErrors(fold, components, errors);
        }
        int best = 0;
        for (int i = 1; i < errors.length; i++) {
            if (errors[i] < errors[best]) {
                best = i;
            }
        }
        return best;
    }

    /** Adds the squared errors of a fold, summed over subjects and vertices, after each number of steps. */
    private void addErrors(int fold, int components, double[] errors) {
        List<PriorSubject.Fold> folds = new ArrayList<>();
        double[] foldNoise = new double[subjects.size()];
        Arrays.fill(foldNoise, START_NOISE);
        try (Matrix covariance = Matrix.doubles(components, components)) {
            covariance.addToDiagonal(START_VARIANCE);
            for (PriorSubject s : subjects) {
                Folds split = Folds.of(s.images(), FOLDS, null);
                folds.add(s.fold(split.first(fold), split.size(fold)));
            }
            List<PriorMoments> moments =
                    folds.stream().map(PriorSubject.Fold::training).toList();
            for (int i = 0; i < errors.length; i++) {
                try (Matrix precision = PriorMoments.inverse(covariance)) {
                    for (int s = 0; s < folds.size(); s++) {
                        errors[i] += moments.get(s).vertices() * folds.get(s).error(precision, foldNoise[s]);
                    }
                    PriorMoments.improve(covariance, precision, foldNoise, moments, START_VARIANCE);
                }
            }
        } finally {
            folds.forEach(PriorSubject.Fold::close);
        }
    }

    private Readout readout(PriorSubject subject, double noise, float[] projection) {
        double[] deviation = subject.deviation(), mean = subject.mean();
        float[] weights = new float[Math.multiplyExact(subject.vertices(), rank)];
        int[] vertices = subject.verticesByGroup(), starts = starts(subject, vertices);
        try (Matrix products = subject.products(vertices);
                Matrix gram = Blas.gramOfColumns(subject.coordinates())) {
            Parallel.tiles(starts.length - 1, 1, (group, end) -> {
                try (GroupPosterior posterior =
                        posterior(gram, products, starts[group], starts[end], noise, subject.images())) {
                    posterior.weights(products, starts[group], starts[end], (first, n, w) -> {
                        int components = w.length / n;
                        for (int i = 0; i < n; i++) {
                            int v = vertices[first + i];
                            for (int r = 0; r < components; r++) {
                                weights[v * rank + r] = (float) (deviation[v] * w[i * components + r]);
                            }
                        }
                    });
                }
            });
        }
        return new Readout(
                weights, bias(weights, projected(projection, subject.centring().mean()), mean), noise);
    }

    /** The first of each group's vertices, and the end of the last. */
    private static int[] starts(PriorSubject subject, int[] verticesByGroup) {
        return IntStream.rangeClosed(0, verticesByGroup.length)
                .filter(i -> i == 0
                        || i == verticesByGroup.length
                        || subject.group(verticesByGroup[i]) != subject.group(verticesByGroup[i - 1]))
                .toArray();
    }

    /**
     * Refines the shared prior, which is white in the present coordinates, for a group. A group of fewer vertices than
     * dimensions keeps the shared prior: a refined one would consist of each vertex's own responses to a large part,
     * and the evidence, which counts these again, would then trust a vertex too much.
     */
    private GroupPosterior posterior(Matrix gram, Matrix products, int from, int to, double shared, int images) {
        double[] ownNoise = {shared};
        try (Matrix covariance = Matrix.doubles(gram.rows(), gram.rows())) {
            covariance.addToDiagonal(1);
            if (to - from >= gram.rows()) {
                try (Matrix cross = Blas.gramOfRows(products, from, to - from)) {
                    cross.scale(1.0 / (to - from));
                    List<PriorMoments> moments = List.of(new PriorMoments(gram, cross, images, to - from));
                    for (int i = 0; i < groupIterations; i++) {
                        try (Matrix precision = PriorMoments.inverse(covariance)) {
                            PriorMoments.improve(covariance, precision, ownNoise, moments, 1);
                        }
                    }
                }
            }
            return new GroupPosterior(gram, covariance, ownNoise[0], images);
        }
    }

    /** The projection [rank] of features [F]. */
    private double[] projected(float[] projection, double[] features) {
        double[] sums = new double[rank];
        for (int r = 0; r < sums.length; r++) {
            for (int f = 0; f < features.length; f++) {
                sums[r] += projection[r * features.length + f] * features[f];
            }
        }
        return sums;
    }

    /** The bias that predicts the mean responses for the mean features, with the weights as rounded. */
    private static float[] bias(float[] weights, double[] projectedMean, double[] mean) {
        float[] bias = new float[mean.length];
        for (int v = 0; v < bias.length; v++) {
            double b = mean[v];
            for (int r = 0; r < projectedMean.length; r++) {
                b -= weights[v * projectedMean.length + r] * projectedMean[r];
            }
            bias[v] = (float) b;
        }
        return bias;
    }

    @Override
    public void close() {
        subjects.forEach(PriorSubject::close);
    }
}
