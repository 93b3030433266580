// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.FolderLock;
import org.cortigan.jni.HostMemory;
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

    /** Whether a run, one of {@link #names()}, failed when it was last tried. */
    public boolean hasFailed(String name) {
        return named(name).hasFailed();
    }

    /** Why a run, one of {@link #names()}, failed when it was last tried; empty if it did not. */
    public Optional<String> failure(String name) {
        return Optional.ofNullable(named(name).error());
    }

    private ComparisonRun named(String name) {
        return plan.all().stream()
                .filter(r -> r.label().equals(name))
                .findFirst()
                .orElseThrow(() -> new InputException(
                        "--only " + name, "is no run of this table", "Use one of " + String.join(", ", names())));
    }

    /** Whether a run, which may be a baseline, has no result. */
    public boolean isIncomplete() {
        return plan.all().stream().anyMatch(r -> !r.isFinished());
    }

    /** Names of all runs: those of the baselines, then those of the trainings. The order does not change. */
    public List<String> names() {
        return plan.all().stream().map(ComparisonRun::label).toList();
    }

    /**
     * Does the runs that are not finished, one after the other.
     *
     * @return whether the comparison is complete; false if a signal stopped it
     * @throws InputException if the folder has runs of other recipes or other data
     */
    public boolean run(Device device) {
        try (FolderLock lock = FolderLock.take(options.out(), Comparison.class, log)) {
            return onSubjects(options.subjects(), subjects -> {
                takeOverResults(plan.all());
                writeTable();
                for (ComparisonRun r : plan.all()) {
                    if (r.isFinished()) continue;
                    if (!attempt(r, subject(subjects, r), device)) return false;
                    writeTable();
                }
                return true;
            });
        }
    }

    /**
     * Does one run unless it is finished, and leaves the table as it is: other processes may do other runs.
     *
     * @param name one of {@link #names()}
     * @return false if a signal stopped it
     * @throws InputException if there is no such run, or the folder has runs of other recipes or other data
     */
    public boolean runOnly(String name, Device device) {
        ComparisonRun r = named(name);
        return onSubjects(List.of(r.subject()), subjects -> {
            takeOverResults(List.of(r));
            return r.isFinished() || attempt(r, subject(subjects, r), device);
        });
    }

    /**
     * Does the runs that are not finished, several at once, each in a process of its own; they have the same results as
     * by {@link #run} with as many threads.
     *
     * @return whether all runs have ended; false if a signal stopped them
     * @throws InputException if the folder has runs of other recipes or other data, or if the memory is too small
     */
    public boolean runParallel(ParallelRuns parallel) {
        try (FolderLock lock = FolderLock.take(options.out(), Comparison.class, log)) {
            onSubjects(options.subjects(), subjects -> {
                takeOverResults(plan.all());
                writeTable();
                prepare(subjects, parallel);
                return true;
            });
            List<ComparisonRun> open =
                    plan.all().stream().filter(r -> !r.isFinished()).toList();
            return new ComparisonProcesses(parallel, log, this::writeTable).run(open);
        }
    }

    /**
     * Writes the table of what other processes have done so far.
     *
     * @throws InputException if the folder has runs of other recipes
     */
    public void assemble() {
        if (!Files.isDirectory(options.out().resolve(ComparisonRun.RUNS)))
            throw new InputException(
                    options.out().toString(), "has no runs yet", "Run them first, by table without --assemble");
        try (FolderLock lock = FolderLock.take(options.out(), Comparison.class, log)) {
            takeOverResults(plan.all());
            writeTable();
        }
    }

    /** Does work on subjects, after a check that the runs in the folder had the same data. */
    private boolean onSubjects(List<Integer> numbers, Predicate<Map<Integer, AlgonautsSubject>> work) {
        AtomicFiles.createFolder(options.out());
        Map<Integer, AlgonautsSubject> subjects = new TreeMap<>();
        try {
            for (int number : numbers) {
                AlgonautsSubject subject = options.data().open(number, log);
                subjects.put(number, subject);
                ComparisonData.check(subject, options);
            }
            return work.test(subjects);
        } finally {
            subjects.values().forEach(AlgonautsSubject::close);
        }
    }

    /** Decodes the photographs, which the processes would all do at once, and checks the memory of trainings. */
    private void prepare(Map<Integer, AlgonautsSubject> subjects, ParallelRuns parallel) {
        Map<String, Long> bytes = new HashMap<>();
        List<Long> needs = new ArrayList<>();
        try (Device cpu = CpuDevice.best(parallel.threads())) {
            for (ComparisonRun r : plan.runs()) {
                if (r.isFinished()) continue;
                // A seed changes no size.
                needs.add(bytes.computeIfAbsent(
                        r.name() + " " + r.subject(),
                        of -> bytes(r, subject(subjects, r), cpu, parallel.onProcessor())));
            }
        }
        if (parallel.onProcessor()) parallel.requireMemory(needs, HostMemory.now(), log);
    }

    /** Bytes of a training's steps on the processor; 0 on a card, and of a recipe that its run will refuse. */
    private long bytes(ComparisonRun r, AlgonautsSubject subject, Device cpu, boolean onProcessor) {
        try (SubjectData data = data(r, subject)) {
            return onProcessor ? Trainer.bytes(r.recipe(), Map.of("", data), cpu) : 0;
        } catch (InputException e) {
            return 0;
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

    private static void takeOverResults(List<ComparisonRun> runs) {
        for (ComparisonRun r : runs) {
            r.checkRecipe();
            r.readResult();
            r.readFailure();
        }
    }

    private static AlgonautsSubject subject(Map<Integer, AlgonautsSubject> subjects, ComparisonRun r) {
        return Objects.requireNonNull(subjects.get(r.subject()), "the subject is not open");
    }

    /**
     * Does a run, unless another process has just done it. If it throws, the run is marked as failed, and others
     * continue. Returns false if a signal stopped it.
     */
    private boolean attempt(ComparisonRun r, AlgonautsSubject subject, Device device) {
        try (FolderLock lock = FolderLock.take(r.folder(), Comparison.class, log)) {
            r.begin();
            r.readResult();
            if (r.isFinished()) return true;
            try {
                return plan.isBaseline(r) ? evaluateBaseline(r, subject) : trainAndEvaluate(r, subject, device);
            } catch (Exception e) {
                fail(r, e);
                r.recordFailure();
            }
        } catch (InputException e) { // such as that another process does this run now
            fail(r, e);
        }
        return true;
    }

    private void fail(ComparisonRun r, Exception e) {
        r.fail(e);
        log.accept(r.label() + " failed: " + r.error());
    }

    private void writeTable() {
        table().write(options.out());
    }

    private boolean trainAndEvaluate(ComparisonRun r, AlgonautsSubject subject, Device device) {
        Map<String, Object> result = new LinkedHashMap<>();
        try (SubjectData data = data(r, subject);
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

    private SubjectData data(ComparisonRun r, AlgonautsSubject subject) {
        int size =
                Generator.of(r.recipe().section("model").section("generator")).image();
        return new SubjectData(subject, size, options.data().cache(), log);
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
