// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.function.BiFunction;
import java.util.function.BooleanSupplier;
import org.cortigan.exec.InputBuffer;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.model.Generator;
import org.cortigan.nn.Weights;

/** Runs a part of a generator on photographs of a subject. */
final class ForwardPass {
    /** Work on the values [images, ...] of consecutive training photographs. */
    @FunctionalInterface
    interface Body {
        void accept(int firstImage, int images, float[] values);
    }

    private ForwardPass() {}

    /**
     * Runs {@code body} on every batch of the training photographs, as in prediction. The array of the values is used
     * again for the next batch.
     *
     * @param part from the generator's parameters and the photographs [batch, S, S, 3] to the values [batch, ...]
     */
    static void forEachBatch(
            SubjectSetup setup, Variables vars, int batch, BiFunction<Weights, Value, Value> part, Body body) {
        Graph graph = new Graph();
        Weights w = Weights.in(graph, DType.F32, Generator.PREFIX, false, Weights.Use.PREDICT);
        graph.output("y", part.apply(w, setup.settings().model().generator().images(graph, batch)));
        forEachBatch(graph, "y", setup.data(), setup.split().training(), vars, () -> false, body);
    }

    /**
     * Runs {@code body} on every batch of some photographs. Of several ranks each computes some of the batches, and all
     * receive the values of all.
     *
     * @param graph from photographs [batch, S, S, 3] to the output [batch, ...] of the given name
     * @param images indices of the photographs
     * @param stop whether to stop before the next batch
     * @return whether all photographs are done
     */
    static boolean forEachBatch(
            Graph graph,
            String output,
            TrainingData data,
            int[] images,
            Variables vars,
            BooleanSupplier stop,
            Body body) {
        try (Session session = new Session(graph, vars.device(), vars);
                InputBuffer photographs = session.input(Generator.IMAGES).inputBuffer()) {
            Storage y = session.output(output);
            int batch = y.type().shape().dim(0);
            float[] values = new float[Math.toIntExact(y.type().shape().elements())];
            Ranks ranks = vars.device().runtime().ranks();
            for (int group = 0; group < images.length; group += batch * ranks.size()) {
                if (ranks.largest(stop.getAsBoolean() ? 1 : 0) > 0) return false;
                int first = group + batch * ranks.rank(), n = within(first, batch, images.length);
                session.synchronize(); // The last run may still read its photographs.
                ByteBuffer pixels = photographs.contents();
                for (int k = 0; k < n; k++) data.image(images[first + k], pixels);
                photographs.send();
                session.run();
                int row = values.length / batch;
                y.read(values, 0, n * row);
                if (ranks.size() == 1) {
                    body.accept(first, n, values);
                    continue;
                }
                ByteBuffer own = ByteBuffer.allocate(n * row * Float.BYTES);
                own.asFloatBuffer().put(values, 0, n * row);
                int at = group;
                for (byte[] part : ranks.gather(own.array())) {
                    int m = within(at, batch, images.length);
                    ByteBuffer.wrap(part).asFloatBuffer().get(values, 0, m * row);
                    if (m > 0) body.accept(at, m, values);
                    at += batch;
                }
            }
            return true;
        }
    }

    /** How many of a batch's photographs there are. */
    private static int within(int first, int batch, int images) {
        return Math.max(0, Math.min(batch, images - first));
    }
}
