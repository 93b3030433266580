// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.SafeTensors;

/**
 * How the responses that a network learns relate to the measured ones: learned = (measured - mean) / scale. A network
 * computes in float32, whose steps near a large mean are as large as the responses' own variation; and its losses and
 * rates suit responses of about unit variance. Pearson's r does not depend on either.
 *
 * @param mean of each vertex
 * @param scale of all vertices; that of a trained network is a power of two, so that scaling rounds nothing
 */
public record ResponseScaling(float[] mean, float scale) {
    /** Names of the tensors in a checkpoint; of one of several subjects with a dot and its name behind. */
    private static final String MEAN = Generator.PREFIX + "response_mean", SCALE = Generator.PREFIX + "response_scale";

    public ResponseScaling {
        if (!(scale > 0 && scale <= Float.MAX_VALUE)) throw new IllegalArgumentException("scale " + scale);
    }

    /** The scaling that changes nothing, of checkpoints from before there was one. */
    public static ResponseScaling identity(int vertices) {
        return new ResponseScaling(new float[vertices], 1);
    }

    /** The mean of the means, and the mean scale. */
    public static ResponseScaling mean(List<ResponseScaling> scalings) {
        float[] mean = new float[scalings.get(0).mean.length];
        for (int v = 0; v < mean.length; v++) {
            int vertex = v;
            mean[v] = average(scalings, s -> s.mean[vertex]);
        }
        return new ResponseScaling(mean, average(scalings, ResponseScaling::scale));
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
        float factor = t.floats(scale, 1)[0];
        for (float m : means) if (!Float.isFinite(m)) throw damaged(t, mean, "has a value that is not finite");
        if (!(factor > 0 && factor <= Float.MAX_VALUE)) throw damaged(t, scale, "is " + factor + ", not a scale");
        return new ResponseScaling(means, factor);
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
                        > Math.ulp(Math.max(Math.abs(mean[v]), Math.abs(other.mean[v]))) + 0x1p-30 * scale)
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
        to.add(name(MEAN, subject), mean, mean.length).add(name(SCALE, subject), new float[] {scale}, 1);
    }

    private boolean isIdentity() {
        for (float m : mean) if (m != 0) return false;
        return scale == 1;
    }

    /**
     * Converts measured responses to learned ones in place.
     *
     * @param responses f32 [vertices], from byte offset {@code at} on
     */
    public void standardise(ByteBuffer responses, int at) {
        for (int v = 0; v < mean.length; v++) {
            int i = at + 4 * v;
            responses.putFloat(i, (responses.getFloat(i) - mean[v]) / scale);
        }
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
                responses.put(i, responses.get(i) * scale + mean[v]);
            }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ResponseScaling s && scale == s.scale && Arrays.equals(mean, s.mean);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(mean) + Float.hashCode(scale);
    }

    @Override
    public String toString() {
        return "scale " + scale + ", means of " + mean.length + " vertices";
    }
}
