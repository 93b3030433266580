// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.model.StableDiffusionFile.Tensor;

/**
 * The text encoder of CLIP (Radford et al. 2021), whose last hidden state Stable Diffusion 1 attends to. It runs once,
 * before a run begins, so it has no graph: plain loops, f32 with norms and attention summed in double. One tensor at a
 * time is in memory.
 *
 * <p>States are [channels, tokens] in here, so that the inner loop of a product, over the tokens, is contiguous.
 *
 * @param vocabulary rows of the table of tokens; the last two are those that begin and end a text
 * @param tokens length of every text
 * @param width of a state, a multiple of 4
 * @param hidden width of the MLP, a multiple of 4
 */
record ClipText(int vocabulary, int tokens, int width, int hidden, int blocks, int heads) {
    /** That of Stable Diffusion 1.x: CLIP ViT-L/14. */
    static final ClipText SD1 = new ClipText(49_408, 77, 768, 3072, 12, 12);

    /** The table of tokens, below the prefix of all names. */
    static final String TABLE = "embeddings.token_embedding.weight";

    private static final String POSITIONS = "embeddings.position_embedding.weight", LAST_NORM = "final_layer_norm";

    private static final double EPS = 1e-5;

    /** The shapes of all tensors, by Hugging Face's names below {@code text_model.}. */
    Map<String, long[]> shapes() {
        Map<String, long[]> all = new LinkedHashMap<>();
        all.put(TABLE, new long[] {vocabulary, width});
        all.put(POSITIONS, new long[] {tokens, width});
        for (int b = 0; b < blocks; b++) {
            String block = block(b);
            for (String norm : List.of("layer_norm1", "layer_norm2")) put(all, block + norm, width);
            for (String layer : List.of("q_proj", "k_proj", "v_proj", "out_proj"))
                put(all, block + "self_attn." + layer, width, width);
            put(all, block + "mlp.fc1", hidden, width);
            put(all, block + "mlp.fc2", width, hidden);
        }
        put(all, LAST_NORM, width);
        return all;
    }

    private static void put(Map<String, long[]> all, String layer, long... weight) {
        all.put(layer + ".weight", weight);
        all.put(layer + ".bias", new long[] {weight[0]});
    }

    private static String block(int b) {
        return "encoder.layers." + b + ".";
    }

    /** The empty text: the beginning, then ends. */
    int[] empty() {
        int[] ids = new int[tokens];
        Arrays.fill(ids, vocabulary - 1);
        ids[0] = vocabulary - 2;
        return ids;
    }

    /**
     * The last hidden state [tokens, width] of a text, after the last norm.
     *
     * @param w tensors of {@link #shapes()}
     * @param ids the text's tokens
     * @throws org.cortigan.InputException if a value is NaN or infinite
     */
    float[] state(Map<String, Tensor> w, int[] ids) {
        float[] x = embedded(w, ids);
        for (int b = 0; b < blocks; b++) {
            String block = block(b), attention = block + "self_attn.";
            float[] in = norm(w, block + "layer_norm1", x);
            float[] a = attention(
                    linear(w, attention + "q_proj", in),
                    linear(w, attention + "k_proj", in),
                    linear(w, attention + "v_proj", in));
            add(x, linear(w, attention + "out_proj", a));
            float[] h = linear(w, block + "mlp.fc1", norm(w, block + "layer_norm2", x));
            for (int i = 0; i < h.length; i++) h[i] /= (float) (1 + Math.exp(-1.702 * h[i])); // CLIP's quick GELU
            add(x, linear(w, block + "mlp.fc2", h));
        }
        x = norm(w, LAST_NORM, x);
        float[] state = new float[x.length];
        for (int i = 0; i < x.length; i++) state[i % tokens * width + i / tokens] = x[i];
        return state;
    }

    private static Tensor tensor(Map<String, Tensor> w, String name) {
        Tensor t = w.get(name);
        if (t == null) throw new IllegalArgumentException(name);
        return t;
    }

    private float[] embedded(Map<String, Tensor> w, int[] ids) {
        Map<Integer, float[]> rows = new LinkedHashMap<>();
        float[] positions = tensor(w, POSITIONS).read(), x = new float[width * tokens];
        for (int t = 0; t < tokens; t++) {
            float[] row = rows.computeIfAbsent(ids[t], id -> tensor(w, TABLE).read((long) id * width, width));
            for (int c = 0; c < width; c++) x[c * tokens + t] = row[c] + positions[t * width + c];
        }
        return x;
    }

    private float[] norm(Map<String, Tensor> w, String name, float[] x) {
        float[] weight = tensor(w, name + ".weight").read(),
                bias = tensor(w, name + ".bias").read(),
                y = new float[x.length];
        for (int t = 0; t < tokens; t++) {
            double mean = 0, variance = 0;
            for (int c = 0; c < width; c++) mean += x[c * tokens + t];
            mean /= width;
            for (int c = 0; c < width; c++) variance += Math.pow(x[c * tokens + t] - mean, 2);
            double scale = 1 / Math.sqrt(variance / width + EPS);
            for (int c = 0; c < width; c++) {
                int i = c * tokens + t;
                y[i] = (float) ((x[i] - mean) * scale * weight[c] + bias[c]);
            }
        }
        return y;
    }

    private float[] linear(Map<String, Tensor> w, String name, float[] x) {
        float[] weight = tensor(w, name + ".weight").read(),
                bias = tensor(w, name + ".bias").read(),
                y = new float[bias.length * tokens],
                sum = new float[tokens];
        int in = x.length / tokens;
        for (int o = 0; o < bias.length; o++) {
            Arrays.fill(sum, bias[o]);
            for (int i = 0; i < in; i += 4) addFour(sum, weight, o * in + i, x, i * tokens);
            System.arraycopy(sum, 0, y, o * tokens, tokens);
        }
        return y;
    }

    /**
     * Adds four input channels to an output channel. The JIT compiler turns the loop of this small method into vector
     * instructions; with one channel at a time it would take twice as long.
     */
    private static void addFour(float[] sum, float[] weight, int at, float[] x, int from) {
        int n = sum.length;
        float a = weight[at], b = weight[at + 1], c = weight[at + 2], d = weight[at + 3];
        for (int t = 0; t < n; t++)
            sum[t] += a * x[from + t] + b * x[from + n + t] + c * x[from + 2 * n + t] + d * x[from + 3 * n + t];
    }

    /** Every token attends to itself and those before it. */
    private float[] attention(float[] q, float[] k, float[] v) {
        int depth = width / heads;
        float[] y = new float[q.length];
        double[] share = new double[tokens];
        for (int first = 0; first < width; first += depth)
            for (int t = 0; t < tokens; t++) {
                double max = Double.NEGATIVE_INFINITY, sum = 0;
                for (int j = 0; j <= t; j++) {
                    double dot = 0;
                    for (int c = first; c < first + depth; c++) dot += q[c * tokens + t] * k[c * tokens + j];
                    share[j] = dot / Math.sqrt(depth);
                    max = Math.max(max, share[j]);
                }
                for (int j = 0; j <= t; j++) sum += share[j] = Math.exp(share[j] - max);
                for (int c = first; c < first + depth; c++) {
                    double read = 0;
                    for (int j = 0; j <= t; j++) read += share[j] * v[c * tokens + j];
                    y[c * tokens + t] = (float) (read / sum);
                }
            }
        return y;
    }

    private static void add(float[] x, float[] y) {
        for (int i = 0; i < x.length; i++) x[i] += y[i];
    }
}
