// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.Consumer;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.io.ColumnMoments;
import org.cortigan.model.ResponseScaling;

/** A data set with the responses that a network learns. */
record StandardisedResponses(TrainingData measured, ResponseScaling scaling) implements TrainingData {
    /** Powers of two beyond this would be denormal or infinite in float. */
    private static final int LARGEST_EXPONENT = 120;

    /**
     * A vertex that varies this many times as much, or as little, as the median vertex is taken to be in another unit.
     */
    private static final double OTHER_UNIT = 1000;

    /**
     * The scaling that centres each vertex on its mean over some images, and brings the median of the vertices'
     * standard deviations to between sqrt(1/2) and sqrt(2), or that of each vertex to 1. Responses that are not finite,
     * and vertices that are constant, do not count.
     *
     * @param images indices of the training images
     * @param each whether every vertex has a scale of its own
     * @param log receives a warning if some vertices vary so much more than others that the pixel loss sees no others
     */
    static ResponseScaling scaling(TrainingData data, int[] images, boolean each, Consumer<String> log) {
        int vertices = data.leftVertices() + data.rightVertices();
        ByteBuffer row = ByteBuffer.allocate(4 * vertices).order(ByteOrder.LITTLE_ENDIAN);
        ColumnMoments moments = new ColumnMoments(vertices);
        for (int i : images) {
            row.clear();
            data.responses(i, row);
            for (int v = 0; v < vertices; v++) {
                float response = row.getFloat(4 * v);
                if (Float.isFinite(response)) moments.add(v, response);
            }
        }
        float[] mean = new float[vertices];
        double[] deviation = new double[vertices];
        for (int v = 0; v < vertices; v++) {
            mean[v] = (float) moments.mean(v);
            deviation[v] = moments.deviation(v);
        }
        double[] varying = Arrays.stream(deviation).filter(d -> d > 0).sorted().toArray();
        if (varying.length == 0) return new ResponseScaling(mean, 1);
        double median = varying[varying.length / 2];
        if (each) {
            float[] scale = new float[vertices];
            for (int v = 0; v < vertices; v++)
                scale[v] = (float)
                        Math.max(Float.MIN_NORMAL, Math.max(deviation[v], ResponseScaling.LEAST_DEVIATION * median));
            return new ResponseScaling(mean, scale);
        }
        long other = Arrays.stream(varying)
                .filter(d -> d > OTHER_UNIT * median || d < median / OTHER_UNIT)
                .count();
        if (other > 0)
            log.accept(String.format(
                    Locale.ROOT,
                    "warning: %sresponses of %d of %d vertices vary more than %.0f times as much as those of the median"
                            + " vertex, or as little. The pixel loss follows the vertices with large values alone: give"
                            + " all vertices one unit, such as z-scores",
                    data.subjectName().isEmpty() ? "" : data.subjectName() + ": ",
                    other,
                    vertices,
                    OTHER_UNIT));
        return new ResponseScaling(mean, powerOfTwo(median));
    }

    private static float powerOfTwo(double median) {
        long exponent = Math.round(Math.log(median) / Math.log(2));
        return Math.scalb(1f, (int) Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, exponent)));
    }

    @Override
    public int count() {
        return measured.count();
    }

    @Override
    public int leftVertices() {
        return measured.leftVertices();
    }

    @Override
    public int rightVertices() {
        return measured.rightVertices();
    }

    @Override
    public String subjectName() {
        return measured.subjectName();
    }

    @Override
    public MissingVertices missing() {
        return measured.missing();
    }

    @Override
    public int[] roiOfVertex() {
        return measured.roiOfVertex();
    }

    @Override
    public void image(int i, ByteBuffer into) {
        measured.image(i, into);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        int at = into.position();
        measured.responses(i, into);
        scaling.standardise(into, at);
    }
}
