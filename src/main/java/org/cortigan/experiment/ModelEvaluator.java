// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.PermutationTest;
import org.cortigan.eval.PhotographScores;
import org.cortigan.eval.SampleAccumulator;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.model.Model;
import org.cortigan.model.Sampling;
import org.cortigan.train.Ensemble;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageSplit;
import org.cortigan.train.Recipe;
import org.cortigan.train.SubjectData;
import org.cortigan.train.TrainingData;
import org.jspecify.annotations.Nullable;

/**
 * Evaluates trained models: Pearson's r of every vertex, and of every photograph.
 *
 * @param cache folder of decoded photographs
 * @param unit of the subject's noise ceilings
 * @param log receives messages for the user
 * @param acceptsOtherSubject whether a model of another subject with as many vertices may be evaluated
 */
public record ModelEvaluator(
        Device device, Path cache, NoiseCeiling.Unit unit, Consumer<String> log, boolean acceptsOtherSubject) {
    /** Images per batch. */
    private static final int BATCH = 32;

    /** Evaluates models on the subject that they were trained on only. */
    public ModelEvaluator(Device device, Path cache, NoiseCeiling.Unit unit, Consumer<String> log) {
        this(device, cache, unit, log, false);
    }

    /** The images to evaluate a model on. */
    public enum Split {
        /** The test images, whose responses no training reads. */
        TEST,
        /** The training images that the run held out. */
        VALIDATION
    }

    /**
     * Evaluates the prediction of a model, or the mean prediction of several models.
     *
     * @param heldOut folder of the responses to the test images; used for {@link Split#TEST} only
     * @throws InputException if a model is for another subject, or if the runs held out no images or different images
     */
    public Evaluated evaluate(List<Path> checkpoints, Split split, AlgonautsSubject subject, Path heldOut) {
        return evaluate(
                checkpoints,
                split,
                subject,
                heldOut,
                PermutationTest.Design.NONE,
                Sampling.Change.NONE,
                Precision.FP32);
    }

    /**
     * The same with a permutation test of each vertex's r, in another precision, and of diffusion models with another
     * sampling.
     *
     * @param design of the test
     * @param sampling of all models. If it names numbers of samples, or independent ones, and there is one model, the
     *     evaluation scores the samples
     * @param precision of the models' products
     */
    public Evaluated evaluate(
            List<Path> checkpoints,
            Split split,
            AlgonautsSubject subject,
            Path heldOut,
            PermutationTest.Design design,
            Sampling.Change sampling,
            Precision precision) {
        if (checkpoints.size() > 1 && sampling.samples().size() > 1)
            throw new InputException(
                    "--samples " + sampling.samples(),
                    "compares numbers of samples, and " + checkpoints.size() + " models are given",
                    "Give one number, or one model");
        if (checkpoints.size() > 1 && sampling.independent())
            throw new InputException(
                    "--independent",
                    "is for the CRPS skill, which is of the samples of one model, and " + checkpoints.size()
                            + " models are given",
                    "Give one model, or leave it out");
        String label = label(checkpoints, split);
        String name = AlgonautsSubject.folderName(subject.number());
        if (!acceptsOtherSubject) Checkpoints.requireSubject(checkpoints, name, log);
        try (Ensemble models = Ensemble.load(checkpoints, device, BATCH, name, true, sampling, precision)) {
            Checkpoints.requireVertices(
                    checkpoints.get(0), models.subject(), subject, "Give the data that the model was trained on");
            Evaluated evaluated = split == Split.TEST
                    ? onTest(label, models, subject, heldOut, design, sampling)
                    : onValidation(label, models, subject, checkpoints, design, sampling);
            evaluated.evaluation().from(new Evaluation.Origin(Evaluation.Kind.MODEL, run(checkpoints), null));
            return evaluated;
        }
    }

    /** The run's folder of the only checkpoint; null if there are several. */
    private static @Nullable Path run(List<Path> checkpoints) {
        return checkpoints.size() > 1
                ? null
                : checkpoints.get(0).toAbsolutePath().getParent();
    }

    private static String label(List<Path> checkpoints, Split split) {
        String mean = checkpoints.size() == 1 ? "" : "mean of " + checkpoints.size() + " models' predictions, ";
        String names = checkpoints.stream().map(Path::toString).collect(Collectors.joining(", "));
        return mean + names + " on the " + split.name().toLowerCase(Locale.ROOT) + " split";
    }

    private Evaluated onTest(
            String label,
            Ensemble models,
            AlgonautsSubject subject,
            Path heldOut,
            PermutationTest.Design design,
            Sampling.Change sampling) {
        int[] images = IntStream.range(0, subject.testImages().size()).toArray();
        AlgonautsSubject.TestResponses responses = HeldOut.testResponses(subject, heldOut, log);
        try (DataBySize<HeldOut> data =
                new DataBySize<>(size -> new HeldOut(subject, responses, size, cache, log), HeldOut::close)) {
            return summary(
                    label,
                    models,
                    data,
                    scores(images, subject.testImages(), subject, responses.notMeasured()),
                    images,
                    subject,
                    responses.notMeasured(),
                    design,
                    sampling);
        }
    }

    private Evaluated onValidation(
            String label,
            Ensemble models,
            AlgonautsSubject subject,
            List<Path> checkpoints,
            PermutationTest.Design design,
            Sampling.Change sampling) {
        int[] images = validationImages(checkpoints, subject.trainingImages().size());
        try (DataBySize<SubjectData> data =
                new DataBySize<>(size -> new SubjectData(subject, size, cache, log), SubjectData::close)) {
            return summary(
                    label,
                    models,
                    data,
                    scores(images, subject.trainingImages(), subject, new int[0]),
                    images,
                    subject,
                    new int[0],
                    design,
                    sampling);
        }
    }

    private Evaluated summary(
            String label,
            Ensemble models,
            DataBySize<? extends TrainingData> data,
            PhotographScores photographs,
            int[] images,
            AlgonautsSubject subject,
            int[] notMeasured,
            PermutationTest.Design design,
            Sampling.Change sampling) {
        PermutationTest test = design.test(subject.vertices());
        int[] counts = counts(sampling, models);
        SampleAccumulator samples =
                counts.length == 0 ? null : models.scorer(counts).orElse(null);
        if (samples != null)
            requireMemory(samples, models.batch(), Runtime.getRuntime().maxMemory());
        PearsonAccumulator of = models.evaluate(data, images, test, samples, photographs);
        Evaluation evaluation = HeldOut.summary(
                label,
                of,
                subject,
                unit,
                notMeasured,
                test,
                new Evaluation.Prediction(models.prediction(), samples == null ? null : samples.scores(notMeasured)));
        Model only = models.model().orElse(null);
        String name = AlgonautsSubject.folderName(subject.number());
        byte[] readout = only == null ? null : ReadoutFile.of(only, device, name, data, photographs);
        return new Evaluated(evaluation, photographs, readout);
    }

    /**
     * Scores of single photographs, without any yet.
     *
     * @param images indices of the photographs among the files
     */
    static PhotographScores scores(int[] images, List<Path> files, AlgonautsSubject subject, int[] notMeasured) {
        List<String> names = Arrays.stream(images)
                .mapToObj(i -> files.get(i).getFileName().toString())
                .toList();
        return new PhotographScores(images, names, subject.left(), subject.vertices(), subject.groups(), notMeasured);
    }

    /** The numbers of samples to score, ascending; none if none are. */
    private static int[] counts(Sampling.Change change, Ensemble models) {
        if (change.samples().isEmpty() && change.independent())
            return models.sampling().stream().mapToInt(Sampling::samples).toArray();
        return change.samples().stream().mapToInt(k -> k).sorted().toArray();
    }

    /**
     * Refuses more samples of a batch than half of the memory has space for.
     *
     * @param memory bytes that Java may take
     */
    static void requireMemory(SampleAccumulator samples, int batch, long memory) {
        long bytes = samples.keptBytes(batch);
        if (bytes > memory / 2)
            throw new InputException(
                    "--samples " + samples.samples(),
                    "the samples of " + batch + " photographs, which the CRPS skill needs together, take "
                            + (bytes >> 20) + " MiB, more than half of the " + (memory >> 20)
                            + " MiB that Java may take",
                    "Lower --samples");
    }

    /** The images that all runs held out. */
    private static int[] validationImages(List<Path> checkpoints, int trainingImages) {
        int[] images = null;
        for (Path checkpoint : checkpoints) {
            int[] own = ImageSplit.of(Recipe.ofCheckpoint(checkpoint), trainingImages)
                    .validation();
            if (own.length == 0)
                throw new InputException(
                        checkpoint.toString(), "its run held out no images", "Evaluate on the test split");
            if (images != null && !Arrays.equals(images, own))
                throw new InputException(
                        checkpoint.toString(),
                        "its run held out other images than the run of " + checkpoints.get(0),
                        "Evaluate on the test split, or give runs of equal train.seed and train.validation");
            images = own;
        }
        return Objects.requireNonNull(images, "no checkpoints");
    }
}
