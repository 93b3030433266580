// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.op.Ops;

/**
 * How the responses that a network learns relate to the measured ones: learned = (measured - mean) / scale. A network
 * computes in float32, whose steps near a large mean are as large as the responses' own variation; and its losses and
 * rates suit responses of about unit variance. Pearson's r does not depend on either.
 *
 * @param mean of each vertex
 * @param scale one of all vertices, which is a power of two in a trained network, so that scaling rounds nothing; or
 *     one of each vertex, where the network needs unit variance: noise is added to its responses
 */
public record ResponseScaling(float[] mean, float[] scale) {
    /** Smallest standard deviation by which a vertex is divided, as a fraction of the median vertex's. */
    public static final double LEAST_DEVIATION = 1e-3;

    /** Names of the tensors in a checkpoint; of one of several subjects with a dot and its name behind. */
    private static final String MEAN = Generator.PREFIX + "response_mean", SCALE = Generator.PREFIX + "response_scale";

    public ResponseScaling {
        if (scale.length != 1 && scale.length != mean.length)
            throw new IllegalArgumentException(scale.length + " scales of " + mean.length + " vertices");
        for (float s : scale) if (!isScale(s)) throw new IllegalArgumentException("scale " + s);
    }

    /** The scaling with one scale of all vertices. */
    public ResponseScaling(float[] mean, float scale) {
        this(mean, new float[] {scale});
    }

    private static boolean isScale(float s) {
        return s > 0 && s <= Float.MAX_VALUE;
    }

    /** The scale of a vertex. */
    public float scale(int vertex) {
        return scale[scale.length == 1 ? 0 : vertex];
    }

    /**
     * The standard deviation of each vertex's training responses. It is NaN where the scale does not tell it: all
     * vertices have one scale, or the vertex has only the least one ({@link #LEAST_DEVIATION}), as one whose training
     * responses were constant. The least of the scales is that one if the upper median of the others is so many times
     * as large, up to the rounding of {@link #differingScales}: the median of the deviations above 0 is no larger.
     */
    public float[] deviations() {
        float[] deviations = new float[mean.length];
        Arrays.fill(deviations, Float.NaN);
        if (scale.length == 1) return deviations;
        float[] sorted = scale.clone();
        Arrays.sort(sorted);
        int least = 1;
        while (least < sorted.length && sorted[least] == sorted[0]) least++;
        float median = least == sorted.length ? 0 : sorted[least + (sorted.length - least) / 2];
        boolean isFloor = sorted[0] <= LEAST_DEVIATION * median * (1 + 0x1p-20);
        for (int v = 0; v < scale.length; v++) if (!isFloor || scale[v] > sorted[0]) deviations[v] = scale[v];
        return deviations;
    }

    /** The scaling that changes nothing, of checkpoints from before there was one. */
    public static ResponseScaling identity(int vertices) {
        return new ResponseScaling(new float[vertices], 1);
    }

    /** The mean of the means, and the mean scale. */
    public static ResponseScaling mean(List<ResponseScaling> scalings) {
        float[] mean = new float[scalings.get(0).mean.length];
        float[] scale =
                new float[scalings.stream().mapToInt(s -> s.scale.length).max().orElseThrow()];
        for (int v = 0; v < mean.length; v++) {
            int vertex = v;
            mean[v] = average(scalings, s -> s.mean[vertex]);
            if (v < scale.length) scale[v] = average(scalings, s -> s.scale(vertex));
        }
        return new ResponseScaling(mean, scale);
    }

    private static float average(List<ResponseScaling> scalings, ToDoubleFunction<ResponseScaling> value) {
        return (float) scalings.stream().mapToDouble(value).average().orElseThrow();
    }

    /**
     * Reads the scaling of a subject from a checkpoint; the identity if the checkpoint has none.
     *
     * @throws InputException if it has one for another number of vertices, or no valid one
     */
    public static ResponseScaling of(SafeTensors t, ModelConfig.Subject subject) {
        String mean = name(MEAN, subject), scale = name(SCALE, subject);
        if (!isStored(t, subject)) return identity(subject.vertices());
        float[] means = t.floats(mean, subject.vertices());
        boolean one = t.names().contains(scale) && t.entry(scale).elements() == 1;
        float[] factors = t.floats(scale, one ? 1 : subject.vertices());
        for (float m : means) if (!Float.isFinite(m)) throw damaged(t, mean, "has a value that is not finite");
        for (float f : factors) if (!isScale(f)) throw damaged(t, scale, "has " + f + ", which is no scale");
        return new ResponseScaling(means, factors);
    }

    /** Whether a checkpoint has the scaling of a subject; those from before there was one have none. */
    public static boolean isStored(SafeTensors t, ModelConfig.Subject subject) {
        return t.names().contains(name(MEAN, subject)) || t.names().contains(name(SCALE, subject));
    }

    /**
     * The number of vertices whose mean another scaling does not share. The same responses have the same means up to
     * one rounding to float, and to the rounding of a sum in double: at most 2^20 terms of 2^3 deviations, of which the
     * scale is one, each rounded by 2^-53.
     */
    public long differingMeans(ResponseScaling other) {
        return IntStream.range(0, mean.length)
                .filter(v -> Math.abs(mean[v] - other.mean[v])
                        > Math.ulp(Math.max(Math.abs(mean[v]), Math.abs(other.mean[v]))) + 0x1p-30 * scale(v))
                .count();
    }

    /**
     * The number of vertices whose scale another scaling does not share, up to the rounding of the standard deviations
     * of the same responses; all vertices if one of the two has one scale for all.
     */
    public long differingScales(ResponseScaling other) {
        if (scale.length != other.scale.length) return mean.length;
        if (scale.length == 1) return scale[0] == other.scale[0] ? 0 : mean.length;
        return IntStream.range(0, scale.length)
                .filter(v -> Math.abs(scale[v] - other.scale[v]) > 0x1p-20f * Math.max(scale[v], other.scale[v]))
                .count();
    }

    private static InputException damaged(SafeTensors t, String name, String problem) {
        return new InputException(
                t.path() + ", tensor '" + name + "'", problem, "The file is damaged or belongs to another model");
    }

    private static String name(String tensor, ModelConfig.Subject subject) {
        return subject.name().isEmpty() ? tensor : tensor + "." + subject.name();
    }

    /** Adds the scaling of a subject to a checkpoint. */
    public void add(SafeTensors.Writer to, ModelConfig.Subject subject) {
        to.add(name(MEAN, subject), mean, mean.length).add(name(SCALE, subject), scale, scale.length);
    }

    /** Adds to a graph what converts learned responses, f32 [B, V], to measured ones. */
    Value measured(Value learned) {
        Graph g = learned.graph();
        return Ops.add(Ops.mul(learned, g.table(scale, scale.length)), g.table(mean, mean.length));
    }

    private boolean isIdentity() {
        for (float m : mean) if (m != 0) return false;
        for (float s : scale) if (s != 1) return false;
        return true;
    }

    /**
     * Converts measured responses to learned ones in place.
     *
     * @param responses f32 [vertices], from byte offset {@code at} on
     */
    public void standardise(ByteBuffer responses, int at) {
        for (int v = 0; v < mean.length; v++) {
            int i = at + 4 * v;
            responses.putFloat(i, (responses.getFloat(i) - mean[v]) / scale(v));
        }
    }

    /**
     * Multiplies learned responses by their scale in place: measured ones less their means.
     *
     * @param responses [rows, vertices]
     */
    public void unscale(float[] responses, int rows) {
        for (int i = 0; i < rows * mean.length; i++) responses[i] *= scale(i % mean.length);
    }

    /**
     * Converts learned responses to measured ones in place.
     *
     * @param responses [rows, vertices], from index {@code at} on
     */
    void restore(FloatBuffer responses, int at, int rows) {
        if (isIdentity()) return;
        for (int row = 0; row < rows; row++)
            for (int v = 0; v < mean.length; v++) {
                int i = at + row * mean.length + v;
                responses.put(i, responses.get(i) * scale(v) + mean[v]);
            }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ResponseScaling s && Arrays.equals(scale, s.scale) && Arrays.equals(mean, s.mean);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(mean) + Arrays.hashCode(scale);
    }

    @Override
    public String toString() {
        return (scale.length == 1 ? "scale " + scale[0] : "scales") + " and means of " + mean.length + " vertices";
    }
}
