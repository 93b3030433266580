// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Weights;

/**
 * Parameters of a Vision Transformer from a safetensors file with timm's names (VisionTransformer) or Hugging Face's
 * (ViTModel, with or without the prefix {@code vit.}). Position embeddings of another grid are interpolated as timm's
 * {@code resample_abs_pos_embed} does: bicubic, antialiased, corners not aligned.
 *
 * @param values contents by parameter name, for the parameters that the file has
 * @param missing parameters that the file lacks; they keep their initial values, as readout and head always do
 * @param unexpected tensors of the file that no parameter uses
 */
public record PretrainedVit(Map<String, float[]> values, List<String> missing, List<String> unexpected) {
    /** Prefixes of parameters that pre-trained files lack: the readout and the parameters of a subject. */
    private static final List<String> OWN = List.of("head.", "readout.", "norms.", "subject.");

    /** @throws InputException if the generator is no ViT, or the file has no tensor of a ViT or one of another size */
    public static PretrainedVit load(Path file, ModelConfig model) {
        Backbone b = model.generator().backbone();
        if (!(b instanceof Vit vit))
            throw new InputException(
                    file.toString(),
                    "holds a ViT, but the generator is of type " + b.type().name(),
                    "Set model.generator.type to vit");
        if (vit.embed() != Embed.PIXELS)
            throw new InputException(
                    file.toString(),
                    "holds a ViT that reads pixels, but the generator's reads the energies of Gabor wavelets",
                    "Set model.generator.vit.embed to pixels");
        int grid = model.generator().image() / vit.patch();
        try (SafeTensors t = SafeTensors.open(file)) {
            Set<String> unused = new LinkedHashSet<>(t.names());
            boolean hf = t.names().stream().anyMatch(n -> n.contains("embeddings.cls_token"));
            String p = t.names().stream().anyMatch(n -> n.startsWith("vit.embeddings.")) ? "vit." : "";
            boolean released = t.names().stream().anyMatch(n -> n.startsWith(p + "encoder.layer."));
            Map<String, float[]> values = new LinkedHashMap<>();
            List<String> missing = new ArrayList<>();
            for (Weights.Spec s : model.generatorWeights(DType.F32).specs()) {
                String name = s.name().substring(Generator.PREFIX.length());
                List<String> from = OWN.stream().anyMatch(name::startsWith)
                        ? List.of()
                        : hf ? huggingFace(p, released, name) : List.of(name);
                if (from.isEmpty() || !t.names().containsAll(from)) {
                    missing.add(name);
                    continue;
                }
                unused.removeAll(from);
                values.put(s.name(), read(t, from, s, name.equals("pos_embed") ? grid : 0, vit.width()));
            }
            if (values.isEmpty())
                throw new InputException(
                        file.toString(),
                        "has no tensor of a ViT; it has for example "
                                + unused.stream().limit(3).toList(),
                        "Give the weights of a ViT with the names of timm or Hugging Face");
            return new PretrainedVit(values, missing, List.copyOf(unused));
        }
    }

    /**
     * Reads tensors and concatenates them.
     *
     * @param grid side of the grid that position embeddings are interpolated to; 0 for other tensors
     * @param width E, the width of a token
     */
    private static float[] read(SafeTensors t, List<String> from, Weights.Spec s, int grid, int width) {
        List<float[]> parts = new ArrayList<>();
        int n = 0;
        for (String f : from) {
            float[] x = t.floats(f);
            if (grid > 0) x = positions(t, f, x, grid, width);
            parts.add(x);
            n += x.length;
        }
        if (n != s.shape().elements()) {
            List<String> shapes = new ArrayList<>();
            for (String f : from)
                shapes.add(f + " " + java.util.Arrays.toString(t.entry(f).shape()));
            throw new InputException(
                    t.path() + ", " + String.join(", ", shapes),
                    "does not fit " + s.name() + " " + s.shape(),
                    "Set size, width, depth, heads and patch of model.generator.vit to those of the file");
        }
        float[] all = new float[n];
        int at = 0;
        for (float[] x : parts) {
            System.arraycopy(x, 0, all, at, x.length);
            at += x.length;
        }
        return all;
    }

    /**
     * Hugging Face's tensors that make up a parameter.
     *
     * @param released whether to use the names of the published files; otherwise the names of transformers 5 in memory
     */
    private static List<String> huggingFace(String p, boolean released, String name) {
        switch (name) {
            case "cls_token":
                return List.of(p + "embeddings.cls_token");
            case "pos_embed":
                return List.of(p + "embeddings.position_embeddings");
            case "norm.weight", "norm.bias":
                return List.of(p + "layernorm" + name.substring(4));
            default:
        }
        if (name.startsWith("patch_embed.proj."))
            return List.of(p + "embeddings.patch_embeddings.projection." + name.substring(17));
        String[] k = name.split("\\.", 3); // blocks, number, rest
        int dot = k[2].lastIndexOf('.');
        String part = k[2].substring(0, dot), kind = k[2].substring(dot);
        String layer = p + (released ? "encoder.layer." : "layers.") + k[1] + ".";
        String attention = layer + (released ? "attention.attention." : "attention.");
        return switch (part) {
            case "norm1" -> List.of(layer + "layernorm_before" + kind);
            case "norm2" -> List.of(layer + "layernorm_after" + kind);
            case "attn.qkv" ->
                released
                        ? List.of(attention + "query" + kind, attention + "key" + kind, attention + "value" + kind)
                        : List.of(
                                attention + "q_proj" + kind, attention + "k_proj" + kind, attention + "v_proj" + kind);
            case "attn.proj" -> List.of(layer + (released ? "attention.output.dense" : "attention.o_proj") + kind);
            case "mlp.fc1" -> List.of(layer + (released ? "intermediate.dense" : "mlp.fc1") + kind);
            case "mlp.fc2" -> List.of(layer + (released ? "output.dense" : "mlp.fc2") + kind);
            default -> throw new IllegalStateException(name);
        };
    }

    /**
     * Interpolates position embeddings [1 + n * n, E] to a grid of side {@code to}; row 0, the class token's, is kept.
     */
    private static float[] positions(SafeTensors t, String name, float[] x, int to, int e) {
        if (x.length % e != 0) return x; // the caller reports the wrong size
        int tokens = x.length / e, from = (int) Math.round(Math.sqrt(tokens - 1.0));
        if (from * from + 1 != tokens)
            throw new InputException(
                    t.path() + ", tensor '" + name + "'",
                    tokens + " positions are not one class token and a square grid",
                    "Only square grids with one class token can be read");
        if (from == to) return x;
        float[] out = new float[(to * to + 1) * e];
        System.arraycopy(x, 0, out, 0, e);
        double[][] w = bicubic(from, to);
        double[] rows = new double[to * from * e]; // interpolated along y
        for (int i = 0; i < to; i++)
            for (int k = 0; k < from; k++)
                if (w[i][k] != 0)
                    for (int j = 0; j < from * e; j++) rows[i * from * e + j] += w[i][k] * x[e + k * from * e + j];
        for (int i = 0; i < to; i++)
            for (int j = 0; j < to; j++)
                for (int c = 0; c < e; c++) {
                    double v = 0;
                    for (int k = 0; k < from; k++) v += w[j][k] * rows[(i * from + k) * e + c];
                    out[e + (i * to + j) * e + c] = (float) v;
                }
        return out;
    }

    /** Weights [to][from] of torch's bicubic interpolation with antialias (a = -0.5), corners not aligned. */
    static double[][] bicubic(int from, int to) {
        double scale = (double) from / to, stretch = Math.max(scale, 1), reach = 2 * stretch;
        double[][] w = new double[to][from];
        for (int i = 0; i < to; i++) {
            double center = scale * (i + 0.5), sum = 0;
            int lo = Math.max((int) (center - reach + 0.5), 0), hi = Math.min((int) (center + reach + 0.5), from);
            for (int k = lo; k < hi; k++) sum += w[i][k] = cubic((k - center + 0.5) / stretch);
            for (int k = lo; k < hi; k++) w[i][k] /= sum;
        }
        return w;
    }

    private static double cubic(double x) {
        double a = -0.5, t = Math.abs(x);
        if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
        return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
    }
}
