// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.ridge.RidgeOptions.Criterion;
import org.cortigan.ridge.RidgeOptions.Sharing;
import org.jspecify.annotations.Nullable;

/** One fit: chooses penalties and a weighting of the bands, then computes the weights of what was chosen. */
final class RidgeFit implements AutoCloseable {
    /** Default penalties, as multiples of the mean of the kernel's positive eigenvalues. */
    private static final double SMALLEST = 1e-3;

    private static final int STEPS = 25, STEPS_A_DECADE = 3;

    private final GramMatrices grams;
    private final Responses responses;
    private final List<double[]> weightings;
    private final RidgeOptions options;
    private @Nullable Eigenbasis basis; // of the last weighting
    private @Nullable Rotation rotation; // of all responses in this basis

    RidgeFit(GramMatrices grams, Responses responses, List<double[]> weightings, RidgeOptions options) {
        this.grams = grams;
        this.responses = responses;
        this.weightings = weightings;
        this.options = options;
    }

    Responses responses() {
        return responses;
    }

    /**
     * Scores all weightings and penalties on all vertices.
     *
     * @param unitOfVertex [V], the same number for vertices that share a choice
     */
    Choices choose(int[] unitOfVertex) {
        Choices choices = new Choices(unitOfVertex);
        int[] all = IntStream.range(0, responses.vertices()).toArray();
        for (int c = 0; c < weightings.size(); c++) {
            Eigenbasis e = eigenbasis(weightings.get(c));
            double[] lambdas = lambdas(e);
            double[][] table = new double[lambdas.length][all.length];
            CrossValidation validation = validation(e, lambdas);
            rotation = null; // Frees the memory of the last one.
            rotation = Rotation.of(e, responses, all, (block, r) -> validation.score(block, r, table));
            Arrays.stream(table).forEach(this::toCriterion);
            choices.offer(c, lambdas, table);
        }
        return choices;
    }

    private Eigenbasis eigenbasis(double[] bandWeights) {
        close();
        Eigenbasis e = grams.eigenbasis(bandWeights, options.components());
        basis = e;
        return e;
    }

    private double[] lambdas(Eigenbasis e) {
        double[] absolute = options.lambdas();
        return absolute != null
                ? absolute
                : IntStream.range(0, STEPS)
                        .mapToDouble(i -> e.meanEigenvalue() * SMALLEST * Math.pow(10, (double) i / STEPS_A_DECADE))
                        .toArray();
    }

    private CrossValidation validation(Eigenbasis e, double[] lambdas) {
        RidgeOptions.Validation v = options.validation();
        return switch (v.selection()) {
            case GCV -> new GeneralisedCrossValidation(e, lambdas);
            case LOO -> overFolds(e, lambdas, Folds.leaveOneOut(e.images()));
            case KFOLD -> overFolds(e, lambdas, Folds.of(e.images(), v.folds(), v.seed()));
        };
    }

    private CrossValidation overFolds(Eigenbasis e, double[] lambdas, Folds folds) {
        boolean sumsSuffice = options.sharing() == Sharing.SHARED && options.criterion() != Criterion.CORRELATION;
        return sumsSuffice && e.complete()
                ? new SharedFoldValidation(e, lambdas, folds, this::weight)
                : new FoldValidation(e, lambdas, folds, options.criterion());
    }

    /** Weight of a vertex's standardised squared errors in the criterion. */
    private double weight(int vertex) {
        double deviation = responses.deviation()[vertex];
        return options.criterion() == Criterion.MSE ? deviation * deviation : Math.signum(deviation);
    }

    /** Turns the scores [V] of standardised responses into the criterion; a constant vertex has 0. */
    private void toCriterion(double[] scores) {
        for (int v = 0; v < scores.length; v++) {
            double deviation = responses.deviation()[v];
            if (deviation == 0) {
                scores[v] = 0;
            } else if (options.criterion() == Criterion.MSE) {
                scores[v] = (scores[v] - 1) * deviation * deviation;
            }
        }
    }

    /** The weights for the choices, a readout for each weighting of bands in use. */
    List<Readout> readouts(Choices choices) {
        if (weightings.size() == 1 && basis != null && rotation != null) {
            return List.of(Readout.of(basis, rotation, choices::lambda));
        }
        List<Readout> readouts = new ArrayList<>();
        for (int c = 0; c < weightings.size(); c++) {
            int[] vertices = choices.verticesWith(c);
            if (vertices.length > 0) {
                Eigenbasis e = eigenbasis(weightings.get(c));
                readouts.add(Readout.of(e, Rotation.of(e, responses, vertices, (block, r) -> {}), choices::lambda));
            }
        }
        return readouts;
    }

    @Override
    public void close() {
        if (basis != null) {
            basis.close();
            basis = null;
        }
    }
}
