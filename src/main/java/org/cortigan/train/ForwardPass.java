// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.function.BiFunction;
import java.util.function.BooleanSupplier;
import org.cortigan.exec.InputBuffer;
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
     * Runs {@code body} on every batch of some photographs.
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
            for (int first = 0; first < images.length; first += batch) {
                if (stop.getAsBoolean()) return false;
                int n = Math.min(batch, images.length - first);
                session.synchronize(); // The last run may still read its photographs.
                ByteBuffer pixels = photographs.contents();
                for (int k = 0; k < n; k++) data.image(images[first + k], pixels);
                photographs.send();
                session.run();
                y.read(values, 0, n * (values.length / batch));
                body.accept(first, n, values);
            }
            return true;
        }
    }
}
