// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.PhotographScores;
import org.cortigan.exec.Device;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.AttentionScores;
import org.cortigan.model.Generator;
import org.cortigan.model.LearnedReadout;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.train.TrainingData;
import org.jspecify.annotations.Nullable;

/**
 * The file of what a readout has learned: safetensors, f32, with a value for each vertex of the subject's files, NaN
 * where there are no responses.
 *
 * <ul>
 *   <li>{@code positions.lh}, {@code positions.rh} [V, 2]: the place in the photograph that a vertex reads, x to the
 *       right, then y down, in -1..1.
 *   <li>{@code layers.lh}, {@code layers.rh} [V, L]: the share of each layer; metadata {@code layers}: the layers'
 *       names. Of a readout of queries it is the attention of the vertex's query to all tokens of the layer, mean over
 *       the photographs of {@code attention}; of others see {@link LearnedReadout}.
 *   <li>{@code attention} [photographs, queries, H, W]: where each query attends, sum over layers, mean over heads. The
 *       share of tokens without a place is left out. Metadata: {@code queries}, their names; {@code photographs}, the
 *       files' names; {@code images}, their indices in the split.
 * </ul>
 *
 * Lists in the metadata are JSON. A model has those that its readout has.
 */
final class ReadoutFile {
    /** Most photographs whose attention is written: the best and the worst predicted ones. */
    static final int PHOTOGRAPHS = 12;

    private final ModelConfig.Subject subject;
    private final SafeTensors.Writer file = new SafeTensors.Writer(Path.of(Evaluation.READOUT));
    private boolean empty = true;

    private ReadoutFile(ModelConfig.Subject subject) {
        this.subject = subject;
    }

    /**
     * The content of the file.
     *
     * @param data gives the evaluated photographs at the size that the model takes
     * @param scores of the evaluated photographs
     * @return null if the readout has nothing to show
     */
    static byte @Nullable [] of(
            Model m, Device device, String subject, IntFunction<? extends TrainingData> data, PhotographScores scores) {
        Generator g = m.config().generator();
        if (!LearnedReadout.isIn(g)) return null;
        ReadoutFile f = new ReadoutFile(m.config().subject(subject));
        LearnedReadout learned = LearnedReadout.of(m, f.subject);
        learned.positions().ifPresent(p -> f.add("positions", p));
        learned.layers().ifPresent(l -> f.addLayers(l, learned.layerNames()));
        int[] places = scores.extremes(PHOTOGRAPHS);
        if (g.queries().isPresent() && places.length > 0)
            try (Predictor p = m.attention(device, places.length, subject)) {
                f.addAttention(m, p, data.apply(g.image()), scores, places);
            }
        return f.empty ? null : f.file.bytes();
    }

    /** Adds values [V, n] of both hemispheres. */
    private void add(String name, float[] values) {
        int n = values.length / subject.vertices(), left = subject.left(), right = subject.right();
        MissingVertices missing = subject.missing();
        add(name + ".lh", MissingVertices.insert(missing.left(), Float.NaN, values, 0, left, n), n);
        add(name + ".rh", MissingVertices.insert(missing.right(), Float.NaN, values, left, right, n), n);
    }

    private void add(String name, float[] values, int columns) {
        file.add(name, values, values.length / columns, columns);
        empty = false;
    }

    private void addLayers(float[] shares, List<String> names) {
        add("layers", shares);
        file.metadata("layers", Json.compact(names));
    }

    /** @param places of the photographs among the scores */
    private void addAttention(Model m, Predictor p, TrainingData data, PhotographScores scores, int[] places) {
        AttentionScores form = p.attention();
        float[] products = products(p, data, scores, places);
        int n = places.length, queries = form.queries(), cells = form.height() * form.width(), layers = form.layers();
        float[] all = new float[n * queries * cells], maps = new float[form.elements()];
        double[] shares = new double[queries * layers];
        for (int k = 0; k < n; k++) {
            form.maps(products, k * p.columns(), maps);
            for (int q = 0; q < queries; q++)
                for (int c = 0; c < cells; c++)
                    for (int l = 0; l < layers; l++)
                        all[(k * queries + q) * cells + c] += maps[(q * layers + l) * cells + c];
            double[] own = form.layers(products, k * p.columns());
            for (int i = 0; i < shares.length; i++) shares[i] += own[i] / n;
        }
        file.add("attention", all, n, queries, form.height(), form.width());
        empty = false;
        file.metadata("queries", Json.compact(p.queries()));
        file.metadata(
                "photographs",
                Json.compact(Arrays.stream(places).mapToObj(scores::file).toList()));
        file.metadata(
                "images",
                Json.compact(Arrays.stream(places).mapToObj(scores::image).toList()));
        if (layers > 1)
            addLayers(
                    ofVertices(m, shares, layers),
                    m.config().generator().backbone().layerNames());
    }

    /** The attention's products of the photographs, [photographs, columns]. */
    private static float[] products(Predictor p, TrainingData data, PhotographScores scores, int[] places) {
        ByteBuffer pixels = p.imageBytesOfBatch();
        for (int place : places) data.image(scores.image(place), pixels);
        p.run();
        float[] products = new float[Math.multiplyExact(places.length, p.columns())];
        p.read(products, 0, places.length);
        return products;
    }

    /** The layers' shares [V, L] of the query that each vertex reads. */
    private float[] ofVertices(Model m, double[] shares, int layers) {
        float[] query = m.values(Generator.regionOf(subject.name()));
        float[] all = new float[query.length * layers];
        for (int v = 0; v < query.length; v++)
            for (int l = 0; l < layers; l++) all[v * layers + l] = (float) shares[Math.round(query[v]) * layers + l];
        return all;
    }
}
