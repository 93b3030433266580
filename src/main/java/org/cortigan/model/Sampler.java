// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntConsumer;
import java.util.function.UnaryOperator;
import java.util.zip.CRC32;
import java.util.zip.CRC32C;
import java.util.zip.Checksum;
import org.cortigan.exec.Arena;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * Draws samples of a diffusion model for a batch of photographs, and takes their mean. Its sessions share variables:
 * one computes what the network knows of the photographs, one draws the noise, one does a step in place, one adds a
 * sample to the mean. So a GPU records a step once and replays it with other timesteps. A run allocates nothing.
 *
 * <p>The noise of a sample is a function of the seed, the bytes of the photograph and the sample's number: the same in
 * every batch, order and file, and on every device. Where cached features stand for photographs, as in the validation
 * of a run with a frozen backbone, it is a function of their bytes instead.
 */
final class Sampler implements AutoCloseable {
    private static final String CONTEXT = "sampling.context", X = "sampling.x", MEAN = "sampling.mean";
    private static final String TIMESTEPS = "timesteps", ROWS = "noise rows", COEFFICIENTS = "coefficients";

    /**
     * The graphs of the sessions.
     *
     * @param context from photographs to what the network knows of them
     * @param start draws the noise with which a sample begins
     * @param step of a sample
     * @param add adds a sample to the mean
     */
    record Graphs(Graph context, Graph start, Graph step, Graph add) {
        /**
         * For a batch.
         *
         * @param weights adds the model's parameters to a graph
         * @param images adds the photographs to a graph
         * @param program graph to run instead of that from photographs to the context
         */
        static Graphs of(
                Denoiser d,
                Function<Graph, Weights> weights,
                Function<Graph, Value> images,
                UnaryOperator<Graph> program,
                int batch) {
            Graph context = new Graph(), start = new Graph(), step = new Graph(), add = new Graph();
            Value known = d.context(weights.apply(context), images.apply(context));
            int n = known.dim(1);
            update(context, CONTEXT, known, context.table(new float[] {0, 1}, 2));

            Value key = start.table(Diffusion.key(d.sampling().seed()), 2);
            Value noise = Ops.normal(key, start.input(ROWS, DType.I32, batch, 2), Sampling.STREAM, d.vertices());
            update(start, X, noise, coefficients(start));

            Value x = step.variable(X, DType.F32, batch, d.vertices());
            Value t = step.input(TIMESTEPS, DType.I32, batch);
            Value kept = step.variable(CONTEXT, DType.F32, batch, n);
            update(step, X, d.output(weights.apply(step), x, t, kept), coefficients(step));

            update(add, MEAN, add.variable(X, DType.F32, batch, d.vertices()), coefficients(add));
            return new Graphs(program.apply(context), start, step, add);
        }

        private static Value coefficients(Graph g) {
            return g.input(COEFFICIENTS, DType.F32, 2);
        }

        /** Makes a variable c0 times itself and c1 times y. */
        private static void update(Graph g, String variable, Value y, Value coefficients) {
            g.output(
                    variable,
                    Ops.blend(g.variable(variable, DType.F32, y.shape().dims()), y, coefficients));
        }

        List<Graph> all() {
            return List.of(context, start, step, add);
        }

        /** Elements of the variables. */
        List<Long> variables() {
            Graph[] first = {context, start, add};
            List<Long> elements = new ArrayList<>();
            for (Graph g : first)
                for (Value v : g.outputs().values()) elements.add(v.shape().elements());
            return elements;
        }
    }

    private final Sampling sampling;
    private final List<DiffusionSchedule.Step> steps;
    private final Session context, start, step, add;
    private final Storage x, rows, sign, timesteps, factors, weights;
    private final int[] photographs, rowWords, stepWords;
    private final float[] pair = new float[2];
    private final Checksum low = new CRC32C(), high = new CRC32();

    /**
     * @param variables with the model's parameters
     * @param arena that the sessions share with others that do not run at the same time
     */
    Sampler(Denoiser denoiser, Graphs graphs, Variables variables, Arena arena) {
        sampling = denoiser.sampling();
        steps = denoiser.schedule().steps(sampling.steps());
        List<Session> opened = new ArrayList<>();
        try {
            for (Graph g : graphs.all()) opened.add(new Session(g, variables.device(), variables, arena));
        } catch (RuntimeException | Error e) {
            opened.forEach(Session::close);
            throw e;
        }
        context = opened.get(0);
        start = opened.get(1);
        step = opened.get(2);
        add = opened.get(3);
        x = variables.find(X);
        rows = start.input(ROWS);
        sign = start.input(COEFFICIENTS);
        timesteps = step.input(TIMESTEPS);
        factors = step.input(COEFFICIENTS);
        weights = add.input(COEFFICIENTS);
        stepWords = new int[x.type().shape().dim(0)];
        rowWords = new int[2 * stepWords.length];
        photographs = new int[rowWords.length];
    }

    /** The mean of the samples in another graph of the same variables, f32 [batch, vertices]. */
    static Value mean(Graph g, int batch, int vertices) {
        return g.variable(MEAN, DType.F32, batch, vertices);
    }

    /** How samples are drawn. */
    Sampling sampling() {
        return sampling;
    }

    /** The session that reads photographs. */
    Session reader() {
        return context;
    }

    /** What each run reads: an input of the session that reads photographs. */
    Storage input(String name) {
        return context.input(name);
    }

    /**
     * Draws the samples of a batch and takes their mean.
     *
     * @param bytes of the photographs, which are in the {@link #input} already
     * @param drawn called with its number, from 0 on, after each sample
     */
    void run(ByteBuffer bytes, IntConsumer drawn) {
        hash(bytes);
        context.run();
        for (int k = 0; k < sampling.samples(); k++) {
            boolean negative = sampling.antithetic() && k % 2 == 1;
            begin(sampling.antithetic() ? k / 2 : k, negative ? -1 : 1);
            for (int i = 0; i < steps.size(); i++) run(steps.get(i));
            run(add, weights, k == 0 ? 0 : 1, 1f / sampling.samples());
            drawn.accept(k);
        }
    }

    /** Two words for each photograph, by its content: words of different photographs differ almost certainly. */
    private void hash(ByteBuffer bytes) {
        int size = bytes.capacity() / stepWords.length;
        for (int b = 0; b < stepWords.length; b++) {
            photographs[2 * b] = hash(low, bytes, b * size, size);
            photographs[2 * b + 1] = hash(high, bytes, b * size, size);
        }
        bytes.clear();
    }

    private static int hash(Checksum of, ByteBuffer bytes, int at, int size) {
        of.reset();
        of.update(bytes.clear().position(at).limit(at + size));
        return (int) of.getValue();
    }

    private void begin(int noise, float factor) {
        for (int i = 0; i < rowWords.length; i++) rowWords[i] = photographs[i] + (i & 1) * noise;
        rows.write(rowWords);
        run(start, sign, 0, factor);
    }

    private void run(DiffusionSchedule.Step s) {
        Arrays.fill(stepWords, s.timestep());
        timesteps.write(stepWords);
        run(step, factors, s.x(), s.output());
    }

    private void run(Session session, Storage coefficients, float ofOld, float ofNew) {
        pair[0] = ofOld;
        pair[1] = ofNew;
        coefficients.write(pair);
        session.run();
    }

    /** Copies the first n rows of the last sample to {@code into[at...]}. */
    void read(float[] into, int at, int n) {
        x.read(into, at, n * x.type().shape().dim(1));
    }

    /** Waits until the last run is done. */
    void synchronize() {
        add.synchronize();
    }

    @Override
    public void close() {
        for (Session s : List.of(add, step, start, context)) s.close();
    }
}
