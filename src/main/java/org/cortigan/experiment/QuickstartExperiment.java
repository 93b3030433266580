// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.PhotographScores;
import org.cortigan.exec.Device;
import org.cortigan.io.Json;
import org.cortigan.model.Generator;
import org.cortigan.simulate.SimulatedDataset;
import org.cortigan.train.Ensemble;
import org.cortigan.train.HeldOut;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainerListener;

/**
 * A small experiment from start to end: simulates a subject, trains a model, trains the same model on shuffled pairs as
 * a control, fits ridge regressions on Gabor features and on pixels, and evaluates all on held-out images.
 *
 * @param out folder of all output
 * @param photographs photographs that the simulated images are crops of
 * @param images training images
 * @param testImages test images
 * @param command that the user gave
 * @param progress makes the listener of a run from the run's name
 * @param log receives messages for the user
 */
public record QuickstartExperiment(
        Path out,
        Recipe recipe,
        List<Path> photographs,
        int images,
        int testImages,
        String command,
        Function<String, TrainerListener> progress,
        Consumer<String> log) {
    private static final int SUBJECT = 1, SIMULATED_SIZE = 96, BATCH = 32;
    private static final String MODEL = "GAN", CONTROL = "control, shuffled pairs";

    /** Folder of the simulated data. */
    public Path data() {
        return out.resolve("data");
    }

    /** Folder of the training run. */
    public Path run() {
        return out.resolve("run");
    }

    private Path control() {
        return out.resolve("control");
    }

    /** Runs everything, writes the evaluations and summary.json, and returns the evaluations by name. */
    public Map<String, Evaluation> run(Device device) {
        log.accept("1/4 simulating subject " + SUBJECT + ": " + images + " training and " + testImages
                + " test images, crops of photographs");
        SimulatedDataset.write(
                new SimulatedDataset.Options(data(), SUBJECT, photographs, images, testImages, SIMULATED_SIZE, 0),
                line -> {});
        Map<String, Evaluated> results = evaluations(device);
        write(results);
        Map<String, Evaluation> evaluations = new LinkedHashMap<>();
        results.forEach((name, evaluated) -> evaluations.put(name, evaluated.evaluation()));
        return evaluations;
    }

    private Map<String, Evaluated> evaluations(Device device) {
        DataFolder data = new DataFolder(data());
        int size = Generator.of(recipe.section("model").section("generator")).image();
        Map<String, Evaluated> results = new LinkedHashMap<>();
        try (AlgonautsSubject subject = data.open(SUBJECT, log);
                SubjectData training = new SubjectData(subject, size, data.cache(), line -> {});
                HeldOut test = new HeldOut(
                        subject,
                        HeldOut.testResponses(subject, data.heldOut(SUBJECT), log),
                        size,
                        data.cache(),
                        line -> {})) {
            log.accept("2/4 training a GAN on " + subject.vertices() + " vertices");
            // Nothing is chosen by validation here, so the model has as many training images as the ridges.
            Recipe all = recipe.with("train.validation", 0);
            results.put(MODEL, trained(all, run(), training, test, subject, device));
            log.accept("3/4 training the control: the same model, each photograph paired with the response to another");
            Recipe shuffled = all.with("train.shuffle_pairs", true);
            results.put(CONTROL, trained(shuffled, control(), training, test, subject, device));
            log.accept("4/4 fitting the baselines: ridge regression on Gabor features and on pixels");
            FeatureSource.Photographs photographs = new FeatureSource.Photographs(subject, data.cache(), line -> {});
            results.put("ridge on Gabor features", ridge(subject, data, FeatureSource.gaborLog(photographs)));
            results.put("ridge on pixels", ridge(subject, data, FeatureSource.pixels(photographs)));
        }
        return results;
    }

    private Evaluated trained(
            Recipe r, Path folder, SubjectData training, HeldOut test, AlgonautsSubject subject, Device device) {
        String name = folder.getFileName().toString();
        try (Trainer trainer = new Trainer(r, training, device, folder);
                RunFolder files = new RunFolder(folder, r, device, TrainingRun.environment(command), 0, log)) {
            trainer.addListener(files);
            trainer.addListener(progress.apply(name));
            trainer.run();
        }
        // Evaluates the last checkpoint: the control's best one was chosen by its validation r, which would flatter it.
        int[] all = IntStream.range(0, test.count()).toArray();
        PhotographScores photographs = ModelEvaluator.scores(all, subject.testImages(), subject, new int[0]);
        try (Ensemble models = Ensemble.load(List.of(RunFolder.last(folder)), device, BATCH, "", true)) {
            Evaluation evaluation = HeldOut.summary(
                            name,
                            models.evaluate(size -> test, all, null, null, photographs),
                            subject,
                            NoiseCeiling.Unit.FRACTION,
                            new int[0],
                            null,
                            new Evaluation.Prediction(models.prediction(), null))
                    .from(new Evaluation.Origin(Evaluation.Kind.MODEL, folder, command));
            byte[] readout = ReadoutFile.of(models.model().orElseThrow(), device, "", size -> test, photographs);
            return new Evaluated(evaluation, photographs, readout);
        }
    }

    private static Evaluated ridge(AlgonautsSubject subject, DataFolder data, FeatureSource features) {
        RidgeSplit split = RidgeSplit.test(subject, data.heldOut(SUBJECT), note -> {});
        return Evaluated.alone(new RidgeExperiment(split, NoiseCeiling.Unit.FRACTION)
                .evaluate(RidgeSettings.standard(features))
                .evaluation());
    }

    private void write(Map<String, Evaluated> results) {
        Map<String, Object> summary = new LinkedHashMap<>();
        results.forEach((name, evaluated) -> {
            Path folder = out.resolve("evaluation").resolve(name.replaceAll("[^A-Za-z]+", "-"));
            Evaluation evaluation = evaluated.evaluation();
            evaluation.madeBy(command);
            evaluated.write(folder);
            Map<String, Object> values = new LinkedHashMap<>();
            values.put("mean_r", evaluation.meanR());
            values.put("median_r", evaluation.medianR());
            values.put("evaluation", out.relativize(folder).toString());
            summary.put(name, values);
        });
        Json.write(out.resolve("summary.json"), summary);
    }
}
