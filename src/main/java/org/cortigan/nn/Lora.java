// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;
import org.jspecify.annotations.Nullable;

/**
 * Low-rank updates of linear layers in an encoder's blocks (Hu et al. 2021, "LoRA"): y = W x + b + alpha / rank B A x.
 * Parameters, named and initialised as by PEFT: {@code lora_A.weight} [rank, in], uniform within 1 / sqrt(in), and
 * {@code lora_B.weight} [out, rank], 0, so that a network begins as it is without updates.
 *
 * @param rank 0 for no updates
 * @param targets layers that have an update
 */
public record Lora(int rank, double alpha, Set<Target> targets) {
    /** No updates. */
    public static final Lora NONE = new Lora(0, 1, Set.of());

    private static final String A = "lora_A.weight", B = "lora_B.weight";

    /** A linear layer of a block, by the last part of timm's name. */
    public enum Target {
        QKV,
        PROJ,
        FC1,
        FC2
    }

    public Lora {
        targets = Set.copyOf(targets);
    }

    /** The factor of B A. */
    public double factor() {
        return alpha / rank;
    }

    /** A [rank, in] and B [out, rank] of one layer, or of some rows of its weight. */
    record Pair(Value a, Value b, double factor) {
        /** The update of x [rows, in]: [rows, out]. */
        Value apply(Value x) {
            Value inner = Ops.matmul(x, a, false, true, null, null, x.dtype());
            return Ops.matmul(Ops.scale(inner, factor), b, false, true, null, null, x.dtype());
        }
    }

    /**
     * The update of a layer.
     *
     * @param w whose prefix is the layer's
     * @param layer last part of the layer's name
     * @return null if the layer has none
     */
    @Nullable
    Pair of(Weights w, String layer, int out, int in) {
        if (rank == 0 || !targets.contains(Target.valueOf(layer.toUpperCase(Locale.ROOT)))) return null;
        return new Pair(
                w.weight(A, Init.torch(in), rank, in).value(),
                w.weight(B, Init.ZEROS, out, rank).value(),
                factor());
    }

    /** Whether a parameter belongs to an update. */
    public static boolean isUpdate(String parameter) {
        return parameter.endsWith("." + A) || parameter.endsWith("." + B);
    }

    /** The names of A and B of the update of a weight. */
    public static List<String> pairOf(String weight) {
        String layer = weight.substring(0, weight.lastIndexOf('.') + 1);
        return List.of(layer + A, layer + B);
    }

    /**
     * W + alpha / rank B A, in double.
     *
     * @param weight [out, in]
     * @param a [rank, in]
     * @param b [out, rank]
     */
    public float[] merged(float[] weight, float[] a, float[] b) {
        int in = a.length / rank, out = weight.length / in;
        float[] merged = new float[weight.length];
        double[] row = new double[in];
        for (int o = 0; o < out; o++) {
            for (int i = 0; i < in; i++) row[i] = weight[o * in + i];
            for (int k = 0; k < rank; k++) {
                double f = factor() * b[o * rank + k];
                for (int i = 0; i < in; i++) row[i] += f * a[k * in + i];
            }
            for (int i = 0; i < in; i++) merged[o * in + i] = (float) row[i];
        }
        return merged;
    }
}
