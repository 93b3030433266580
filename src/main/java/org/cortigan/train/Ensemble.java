// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.PermutationTest;
import org.cortigan.eval.PhotographScores;
import org.cortigan.eval.SampleAccumulator;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.cortigan.model.Sampling;
import org.jspecify.annotations.Nullable;

/**
 * Averages the predictions of one or several models of the same vertices. The models may take photographs of different
 * sizes. Confined to the thread that made it.
 */
public final class Ensemble implements AutoCloseable {
    private final List<Predictor> members;
    /** The models of the members; none if they were given as predictors. */
    private final List<Model> models;

    private float[] memberPrediction;
    /** The responses' means, mean over members. */
    private final float[] mean;
    /** For each member its responses' means less {@link #mean}; null if all members have the same. */
    private final float @Nullable [][] meanDifference;

    /** @param members at least one predictor, all of equal batch and columns; {@link #close} closes them */
    public Ensemble(List<Predictor> members) {
        this(members, List.of());
    }

    private Ensemble(List<Predictor> members, List<Model> models) {
        this.members = List.copyOf(members);
        this.models = List.copyOf(models);
        memberPrediction = new float[this.members.size() > 1 ? valuesPerBatch() : 0];
        List<ResponseScaling> scalings =
                this.members.stream().map(Predictor::scaling).toList();
        mean = ResponseScaling.mean(scalings).mean();
        boolean same = scalings.stream().allMatch(s -> Arrays.equals(s.mean(), mean));
        meanDifference = same
                ? null
                : scalings.stream().map(s -> difference(s.mean(), mean)).toArray(float[][]::new);
    }

    private static float[] difference(float[] a, float[] b) {
        float[] d = new float[a.length];
        for (int v = 0; v < d.length; v++) d[v] = a[v] - b[v];
        return d;
    }

    /**
     * Loads models from checkpoints.
     *
     * @param subject subject to predict, for models of several subjects
     * @param evaluates whether to prepare for {@link #evaluate}; a single model then sums the moments on the device
     * @throws InputException if a model has other vertices than the first
     */
    public static Ensemble load(List<Path> checkpoints, Device device, int batch, String subject, boolean evaluates) {
        return load(checkpoints, device, batch, subject, evaluates, Sampling.Change.NONE, Precision.FP32);
    }

    /**
     * The same with products in another precision, and of diffusion models with another sampling.
     *
     * @throws InputException if a model has other vertices than the first, its readout has no sampling to change, or
     *     the device does not support the precision
     */
    public static Ensemble load(
            List<Path> checkpoints,
            Device device,
            int batch,
            String subject,
            boolean evaluates,
            Sampling.Change sampling,
            Precision precision) {
        List<Predictor> members = new ArrayList<>();
        List<Model> models = new ArrayList<>();
        ModelConfig.Subject first = null;
        try {
            for (Path p : checkpoints) {
                Model m = Model.load(p).predicting(sampling, p.toString()).predicting(precision);
                ModelConfig.Subject s = m.config().subject(subject);
                if (first == null) first = s;
                if (s.left() != first.left()
                        || s.right() != first.right()
                        || !s.missing().equals(first.missing()))
                    throw new InputException(
                            p.toString(),
                            "is for " + s + ", but " + checkpoints.get(0) + " is for " + first,
                            "Give models of the same subject");
                boolean alone = evaluates && checkpoints.size() == 1;
                models.add(m);
                members.add(alone ? m.evaluator(device, batch, subject) : m.predictor(device, batch, subject));
            }
            return new Ensemble(members, models);
        } catch (RuntimeException | Error e) {
            members.forEach(Predictor::close);
            throw e;
        }
    }

    /** The only model, as it predicts; empty if there are several. */
    public Optional<Model> model() {
        return models.size() == 1 ? Optional.of(models.get(0)) : Optional.empty();
    }

    /** The subject whose responses the models predict. */
    public ModelConfig.Subject subject() {
        return members.get(0).subject();
    }

    /** Maximum number of photographs per call of {@link #predict}. */
    public int batch() {
        return members.get(0).batch();
    }

    /** Values predicted for one photograph. */
    public int columns() {
        return members.get(0).columns();
    }

    /** How the models predict, for messages; "" if they have one way, in fp32. */
    public String prediction() {
        return members.stream()
                .map(Predictor::prediction)
                .filter(text -> !text.isEmpty())
                .distinct()
                .collect(Collectors.joining("; "));
    }

    /** How the only model draws samples; empty if its predictions are no means of samples, or there are several. */
    public Optional<Sampling> sampling() {
        return members.size() == 1 ? members.get(0).sampling() : Optional.empty();
    }

    /**
     * What scores the samples of {@link #sampling}.
     *
     * @param counts numbers of samples whose means are scored, ascending, each once
     */
    public Optional<SampleAccumulator> scorer(int[] counts) {
        float[] deviations = members.get(0).scaling().deviations();
        return sampling().map(s -> new SampleAccumulator(deviations, counts, s.antithetic()));
    }

    private int valuesPerBatch() {
        return Math.multiplyExact(batch(), columns());
    }

    /** Supplies photographs at the size that a model takes. */
    public interface Photographs {
        /** Writes photograph i, u8 [side, side, 3], at the buffer's position, which advances. */
        void put(int i, int side, ByteBuffer into);
    }

    /** Receives the samples of a batch, one after the other. */
    public interface Samples {
        /** @param responses of sample k, [n, columns]; the array is used again for the next sample */
        void accept(int k, float[] responses);
    }

    /** Predicts n photographs, 1 to {@link #batch()}, and writes the mean predictions [n, columns] to {@code into}. */
    public void predict(Photographs photographs, int n, float[] into) {
        predict(photographs, n, into, null);
    }

    /**
     * The same, with a look at the samples of {@link #sampling}.
     *
     * @param samples null for none
     */
    public void predict(Photographs photographs, int n, float[] into, @Nullable Samples samples) {
        predictCentred(
                photographs, n, into, samples == null ? null : (k, centred) -> samples.accept(k, addMean(n, centred)));
        addMean(n, into);
    }

    private float[] addMean(int n, float[] responses) {
        for (int i = 0; i < n * columns(); i++) responses[i] += mean[i % mean.length];
        return responses;
    }

    /** The same less the responses' means, so that a large mean costs no digits. */
    private void predictCentred(Photographs photographs, int n, float[] into, @Nullable Samples samples) {
        for (int m = 0; m < members.size(); m++) {
            Predictor p = members.get(m);
            ByteBuffer x = p.imageBytesOfBatch();
            for (int k = 0; k < n; k++) photographs.put(k, side(p), x);
            if (samples == null) p.run();
            else p.run(k -> samples.accept(k, sample(n)));
            float[] own = m == 0 ? into : memberPrediction;
            p.read(own, 0, n);
            toMeasuredUnits(m, n, own);
            if (m > 0) for (int i = 0; i < n * columns(); i++) into[i] += own[i];
        }
        if (members.size() > 1) for (int i = 0; i < n * columns(); i++) into[i] /= members.size();
    }

    /** The sample that the only member has just drawn. */
    private float[] sample(int n) {
        if (memberPrediction.length == 0) memberPrediction = new float[valuesPerBatch()];
        members.get(0).readSample(memberPrediction, 0, n);
        toMeasuredUnits(0, n, memberPrediction);
        return memberPrediction;
    }

    private void toMeasuredUnits(int member, int n, float[] responses) {
        members.get(member).scaling().unscale(responses, n);
        if (meanDifference == null) return;
        float[] d = meanDifference[member];
        for (int i = 0; i < n * columns(); i++) responses[i] += d[i % d.length];
    }

    private static int side(Predictor p) {
        return (int) Math.round(Math.sqrt(p.imageBytes() / 3.0));
    }

    /**
     * Accumulates Pearson's r over some photographs. A single model that was loaded for evaluation sums the moments on
     * the device; otherwise the host sums them from the mean predictions.
     *
     * @param data gives the photographs at the size that a model takes
     * @param images indices of the photographs
     * @throws InputException if a prediction or response is not finite
     */
    public PearsonAccumulator evaluate(IntFunction<? extends TrainingData> data, int[] images) {
        return evaluate(data, images, null, null, null);
    }

    /** Accumulates Pearson's r of one predictor over some photographs. The predictor stays open. */
    public static PearsonAccumulator evaluate(Predictor predictor, TrainingData data, int[] images) {
        return new Ensemble(List.of(predictor)).evaluate(side -> data, images);
    }

    /**
     * The same; on the host for a permutation test, which keeps predictions and responses, or to score samples.
     *
     * @param test receives the images in order
     * @param samples receives the samples of {@link #sampling}
     * @param photographs receives predictions and responses, which a device then also copies to the host. It changes no
     *     moments
     */
    public PearsonAccumulator evaluate(
            IntFunction<? extends TrainingData> data,
            int[] images,
            @Nullable PermutationTest test,
            @Nullable SampleAccumulator samples,
            @Nullable PhotographScores photographs) {
        Predictor p = members.get(0);
        boolean kept = test != null || samples != null;
        return kept || members.size() > 1 || !p.evaluates() || images.length == 0
                ? onHost(data, images, test, samples, photographs)
                : onDevice(p, data, images, photographs);
    }

    private PearsonAccumulator onDevice(
            Predictor p,
            IntFunction<? extends TrainingData> data,
            int[] images,
            @Nullable PhotographScores photographs) {
        TrainingData d = data.apply(side(p));
        int kept = photographs == null ? 0 : valuesPerBatch();
        float[] predicted = new float[kept], target = new float[kept];
        for (int at = 0; at < images.length; at += batch()) {
            int n = Math.min(batch(), images.length - at);
            ByteBuffer x = p.imageBytesOfBatch(), y = p.targetsOfBatch();
            for (int k = 0; k < n; k++) {
                d.image(images[at + k], x);
                int row = y.position();
                d.responses(images[at + k], y);
                p.scaling().standardise(y, row);
            }
            p.evaluate(at, n);
            if (photographs == null) continue;
            targets(d, images, at, n, target);
            p.read(predicted, 0, n);
            toMeasuredUnits(0, n, predicted);
            photographs.add(at, predicted, target, n);
        }
        PearsonAccumulator acc = new PearsonAccumulator(columns());
        // Moments do not tell which image is not finite: onHost finds it and throws.
        return acc.merge(p.moments(), images.length) ? acc : onHost(data, images, null, null, photographs);
    }

    private PearsonAccumulator onHost(
            IntFunction<? extends TrainingData> data,
            int[] images,
            @Nullable PermutationTest test,
            @Nullable SampleAccumulator samples,
            @Nullable PhotographScores photographs) {
        PearsonAccumulator acc = new PearsonAccumulator(columns());
        float[] predicted = new float[valuesPerBatch()], target = new float[valuesPerBatch()];
        if (images.length == 0) return acc;
        TrainingData measured = data.apply(side(members.get(0))); // The responses are the same at every size.
        for (int at = 0; at < images.length; at += batch()) {
            int n = Math.min(batch(), images.length - at), first = at;
            targets(measured, images, at, n, target);
            if (samples != null) samples.begin(target, n);
            predictCentred(
                    (k, side, into) -> data.apply(side).image(images[first + k], into),
                    n,
                    predicted,
                    samples == null ? null : (k, sample) -> samples.add(sample));
            acc.add(predicted, target, n);
            if (test != null) test.add(predicted, target, n);
            if (photographs != null) photographs.add(at, predicted, target, n);
        }
        return acc;
    }

    /** Writes the responses to n images, from {@code images[at]} on, less their means: [n, columns]. */
    private void targets(TrainingData measured, int[] images, int at, int n, float[] into) {
        int v = columns();
        ByteBuffer row = ByteBuffer.allocate(4 * v).order(ByteOrder.LITTLE_ENDIAN);
        for (int k = 0; k < n; k++) {
            row.clear();
            measured.responses(images[at + k], row);
            row.flip();
            row.asFloatBuffer().get(into, k * v, v);
            for (int i = 0; i < v; i++) into[k * v + i] -= mean[i];
        }
    }

    @Override
    public void close() {
        members.forEach(Predictor::close);
    }
}
