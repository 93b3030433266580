// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.Device;
import org.cortigan.io.FolderLock;
import org.cortigan.model.Generator;
import org.cortigan.train.ImageSplit;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainerListener;

/**
 * Trains every recipe with every seed for every subject, evaluates the models and the ridge baseline, and updates the
 * table in the folder after each run. A comparison can be interrupted and started again: it keeps finished runs,
 * resumes interrupted runs and retries failed runs. A failed run does not stop the other runs.
 */
public final class Comparison {
    private final ComparisonOptions options;
    private final Function<String, TrainerListener> progress;
    private final Consumer<String> log;
    private final ComparisonPlan plan;

    /**
     * @param progress makes the listener of a training run from the run's name
     * @param log receives messages for the user
     * @throws InputException if a recipe is wrong
     */
    public Comparison(ComparisonOptions options, Function<String, TrainerListener> progress, Consumer<String> log) {
        this.options = options;
        this.progress = progress;
        this.log = log;
        this.plan = new ComparisonPlan(options, log);
    }

    /** The table of the results so far. */
    public ComparisonTable table() {
        return new ComparisonSummary(options, plan).table();
    }

    /** Whether a training run failed. */
    public boolean hasFailures() {
        return plan.runs().stream().anyMatch(ComparisonRun::hasFailed);
    }

    /**
     * Does the runs that are not finished.
     *
     * @return whether the comparison is complete; false if a signal stopped it
     * @throws InputException if the folder has runs of other recipes or other data
     */
    public boolean run(Device device) {
        Map<Integer, AlgonautsSubject> subjects = new TreeMap<>();
        try (FolderLock lock = FolderLock.take(options.out(), Comparison.class, log)) {
            for (int number : options.subjects()) {
                AlgonautsSubject subject = options.data().open(number, log);
                subjects.put(number, subject);
                ComparisonData.check(subject, options);
            }
            takeOverResults();
            writeTable();
            return runBaselines(subjects) && runModels(subjects, device);
        } finally {
            subjects.values().forEach(AlgonautsSubject::close);
        }
    }

    /** The folders of the first subject's finished baselines, then of its finished runs with the first seed. */
    public List<Path> firstEvaluations() {
        int subject = options.subjects().get(0);
        long seed = options.seeds().get(0);
        return Stream.concat(
                        plan.baselines(subject).stream(),
                        plan.runs().stream().filter(r -> r.subject() == subject && r.seed() == seed))
                .filter(ComparisonRun::isFinished)
                .map(ComparisonRun::folder)
                .toList();
    }

    private void takeOverResults() {
        for (ComparisonRun r : plan.runs()) {
            r.checkRecipe();
            r.readResult();
        }
        for (int number : options.subjects()) plan.baselines(number).forEach(ComparisonRun::readResult);
    }

    private boolean runBaselines(Map<Integer, AlgonautsSubject> subjects) {
        for (int number : options.subjects())
            for (ComparisonRun r : plan.baselines(number))
                if (!attempt(r, () -> evaluateBaseline(r, subject(subjects, number)))) return false;
        return true;
    }

    private boolean runModels(Map<Integer, AlgonautsSubject> subjects, Device device) {
        for (ComparisonRun r : plan.runs())
            if (!attempt(r, () -> trainAndEvaluate(r, subject(subjects, r.subject()), device))) return false;
        return true;
    }

    private static AlgonautsSubject subject(Map<Integer, AlgonautsSubject> subjects, int number) {
        return Objects.requireNonNull(subjects.get(number), "the subject is not open");
    }

    private interface Work {
        /** Does the work; returns false if a signal stopped it. */
        boolean isDone();
    }

    /**
     * Does the work of a run unless it is finished. If it throws, the run is marked as failed and the others continue.
     */
    private boolean attempt(ComparisonRun r, Work work) {
        if (r.isFinished()) return true;
        try {
            if (!work.isDone()) return false;
        } catch (Exception e) {
            r.fail(e);
            log.accept(r.label() + " failed: " + r.error());
        }
        writeTable();
        return true;
    }

    private void writeTable() {
        table().write(options.out());
    }

    private boolean trainAndEvaluate(ComparisonRun r, AlgonautsSubject subject, Device device) {
        Map<String, Object> result = new LinkedHashMap<>();
        int size =
                Generator.of(r.recipe().section("model").section("generator")).image();
        try (SubjectData data = new SubjectData(subject, size, options.data().cache(), log);
                TrainingRun run = new TrainingRun(
                        r.recipe(),
                        Map.of("", data),
                        device,
                        r.folder(),
                        line -> log.accept(r.label() + ": " + line))) {
            if (!train(r, run)) return false;
            EpochLog epochs = EpochLog.read(r.folder());
            result.put("discriminators", run.trainer().regions().size());
            result.put("parameters", run.trainer().parameters()[0]);
            result.put("seconds_per_epoch", secondsPerEpoch(run.trainer(), epochs));
        }
        r.finish(evaluate(r, subject, device), result);
        return true;
    }

    private boolean train(ComparisonRun r, TrainingRun run) {
        Path checkpoint = Checkpoints.toResume(r.folder());
        if (checkpoint != null) {
            run.resume(checkpoint);
            log.accept(r.label() + ": resumed at " + run.position());
        }
        return run.run(
                () -> log.accept("stopped after " + run.position() + "; repeat the command to continue"),
                progress.apply(r.label()));
    }

    /** Uses the median speed, because the first epochs read photographs that are not in the system's file cache yet. */
    private static double secondsPerEpoch(Trainer trainer, EpochLog epochs) {
        return trainer.imagesPerEpoch() / Metrics.median(epochs.numbers("images_per_second"));
    }

    /**
     * Evaluates the best checkpoint on the test split. Without test responses, evaluates the last checkpoint on the
     * validation split, because the best one was chosen on that split.
     */
    private Evaluated evaluate(ComparisonRun r, AlgonautsSubject subject, Device device) {
        boolean test = options.data().hasHeldOut(r.subject());
        return new ModelEvaluator(device, options.data().cache(), options.unit(), log)
                .evaluate(
                        List.of(test ? RunFolder.best(r.folder()) : RunFolder.last(r.folder())),
                        test ? ModelEvaluator.Split.TEST : ModelEvaluator.Split.VALIDATION,
                        subject,
                        options.data().heldOut(r.subject()));
    }

    private boolean evaluateBaseline(ComparisonRun r, AlgonautsSubject subject) {
        RunFolder.create(r.folder());
        RidgeSplit split = split(r, subject);
        RidgeSettings settings = settings(r, split);
        log.accept(r.label() + ": " + settings.name());
        RidgeExperiment.Result result = new RidgeExperiment(split, options.unit()).evaluate(settings);
        r.finish(Evaluated.alone(result.evaluation()), result.json());
        return true;
    }

    /** Without test responses, a ridge is fitted without the images that the runs hold out. */
    private RidgeSplit split(ComparisonRun r, AlgonautsSubject subject) {
        return options.data().hasHeldOut(r.subject())
                ? RidgeSplit.test(subject, options.data().heldOut(r.subject()), log)
                : RidgeSplit.validation(
                        subject,
                        ImageSplit.of(r.recipe(), subject.trainingImages().size()));
    }

    private RidgeSettings settings(ComparisonRun r, RidgeSplit split) {
        FeatureSource.Photographs photographs =
                new FeatureSource.Photographs(split.subject(), options.data().cache(), log);
        FeatureSource pixels = FeatureSource.pixels(photographs);
        if (r.name().equals(ComparisonPlan.PIXELS)) return RidgeSettings.standard(pixels);
        FeatureSource gabor = FeatureSource.gabor(photographs);
        return new RidgeSearch(split, line -> log.accept(r.label() + ": " + line))
                .choose(RidgeSettings.standard(gabor), List.of(gabor, FeatureSource.gaborLog(photographs)), pixels);
    }
}
