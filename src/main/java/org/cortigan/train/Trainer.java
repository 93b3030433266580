// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.Region;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.PretrainedVit;
import org.cortigan.plan.PlanReport;

/**
 * Trains a model by a recipe, on one subject's data or on several subjects' with a shared backbone: then every step is
 * a batch of one subject, and an epoch goes through all batches of all subjects in random order. Confined to the thread
 * that made it, except {@link #requestStop()}. Equal recipe, data, device and number of threads give equal bits, also
 * across {@link #resume}.
 */
public final class Trainer implements AutoCloseable {
    /** A run ends when so many updates one after the other had gradients that were not finite. */
    private static final int MAX_SKIPPED_IN_A_ROW = 20;

    private final Recipe recipe;
    private final TrainSettings train;
    private final Device device;
    private final Path folder;
    private final Variables vars;
    private final Subjects subjects;
    private final SubjectOrder order;
    private final StepSchedule schedule;
    private final Initialiser initialiser;
    private final PretrainedVit pretrained;
    private final List<TrainerListener> listeners = new ArrayList<>();
    private RunState state;

    /** Whose step is under way, its losses not read yet, on a device with a stream. */
    private SubjectSteps pending;

    private volatile boolean stopRequested;

    /**
     * @param folder where checkpoints go, or null to keep none
     * @throws InputException if recipe, data and device do not fit
     */
    public Trainer(Recipe recipe, TrainingData data, Device device, Path folder) {
        this(recipe, Map.of("", data), device, folder, s -> {});
    }

    /**
     * @param sets data by subject; the name is "" where there is only one
     * @param log for what is worth knowing about the data, for example regions that were left out
     */
    public Trainer(
            Recipe recipe, Map<String, ? extends TrainingData> sets, Device device, Path folder, Consumer<String> log) {
        this.recipe = recipe;
        this.folder = folder;
        train = TrainSettings.of(recipe);
        StepSettings settings = StepSettings.of(recipe, subjects(sets), train.compute());
        this.device = train.withPrecision(device);
        List<SubjectSetup> setups = settings.model().subjects().stream()
                .map(s -> SubjectSetup.of(recipe, train, settings, s, sets.get(s.name()), log))
                .toList();
        MemoryBudget budget = new MemoryBudget(this.device, setups, train);
        boolean resident = budget.isDataResident();
        budget.check(resident);
        vars = new Variables(this.device);
        try {
            subjects = new Subjects(setups, train, this.device, vars, resident);
            order = new SubjectOrder(subjects.stepsPerEpoch(), train.seed());
            schedule = new StepSchedule(settings, order.stepsPerEpoch(), order.stepsPerEpoch() * train.epochs());
            state = new RunState(order.stepsPerEpoch(), train.seed(), subjects.states());
            initialiser = new Initialiser(vars, subjects.parameters(), subjects.specs(StepGraph::states));
            pretrained = initialiser.initialise(settings.model(), train);
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private static List<ModelConfig.Subject> subjects(Map<String, ? extends TrainingData> sets) {
        List<ModelConfig.Subject> subjects = new ArrayList<>();
        sets.forEach((name, d) -> subjects.add(new ModelConfig.Subject(name, d.leftVertices(), d.rightVertices())));
        return subjects;
    }

    /** What {@code train.init} gave, or null. */
    public PretrainedVit pretrained() {
        return pretrained;
    }

    public void addListener(TrainerListener l) {
        listeners.add(l);
    }

    public ModelConfig config() {
        return schedule.settings().model();
    }

    /** Names of the regions that have a discriminator, the first subject's where there are several. */
    public List<String> regions() {
        return subjects.first().graph().regions().stream().map(Region::name).toList();
    }

    /** Numbers that are trained: generator, then all discriminators. */
    public long[] parameters() {
        return new long[] {
            ModelConfig.count(subjects.specs(StepGraph::generatorSpecs)),
            ModelConfig.count(subjects.specs(StepGraph::discriminatorSpecs))
        };
    }

    /** Memory of a step, of the largest subject's where there are several. */
    public PlanReport plan() {
        return session().plan().report();
    }

    /** The session of a step, for a profile; of the subject with the most vertices. */
    public Session session() {
        return subjects.largest().session();
    }

    /** Puts the first batch into the session's inputs without training on it; for a profile. */
    public void fillInputs() {
        for (SubjectSteps s : subjects.all()) s.fillInputs(schedule);
    }

    /** Indices of the photographs that are trained on, of the first subject. */
    public int[] trainingImages() {
        return subjects.first().setup().split().training().clone();
    }

    /** Indices of the photographs held out for validation, of the first subject. */
    public int[] validationImages() {
        return subjects.first().setup().split().validation().clone();
    }

    public long stepsPerEpoch() {
        return schedule.stepsPerEpoch();
    }

    /** Steps of the whole run. */
    public long steps() {
        return schedule.steps();
    }

    /** Steps done. */
    public long step() {
        return state.step();
    }

    /**
     * Goes on where a checkpoint of the same model, data and recipe ended.
     *
     * @throws InputException if the file is of another run; nothing has changed then
     */
    public void resume(Path file) {
        state = Checkpoint.load(file, config(), vars, state);
        subjects.resume(state);
        initialiser.copyToBf16();
    }

    /** Ends the run after the step under way, with a checkpoint. Any thread may call it. */
    public void requestStop() {
        stopRequested = true;
    }

    /**
     * Trains until the last epoch ends or a stop is asked for.
     *
     * @return whether the run is complete
     * @throws InputException if gradients stay infinite or NaN
     */
    public boolean run() {
        try {
            subjects.begin(train.epochs());
            loop();
        } catch (RuntimeException | Error e) {
            // Batches that are being copied to the device are about to be freed.
            pending = null;
            subjects.synchronizeAfter(e);
            throw e;
        } finally {
            subjects.end();
        }
        boolean complete = step() >= steps();
        if (stopRequested && !complete && step() % stepsPerEpoch() != 0) save("last.safetensors");
        return complete;
    }

    private void loop() {
        boolean asynchronous = device.runtime().isAsynchronous();
        long epochBegin = System.nanoTime(), firstStep = step();
        while (step() < steps() && !stopRequested) {
            SubjectSteps subject = subjects.get(order.subjectOfStep(step()));
            run(subject, asynchronous);
            boolean epochEnds = step() % stepsPerEpoch() == 0;
            boolean saves = train.checkpointSteps() > 0 && step() % train.checkpointSteps() == 0;
            if (!asynchronous || epochEnds || saves) takeLosses(step(), 0);
            if (epochEnds) {
                double seconds = (System.nanoTime() - epochBegin) / 1e9;
                endEpoch((step() - firstStep) * (double) train.batch() / seconds);
                epochBegin = System.nanoTime();
                firstStep = step();
            } else if (saves) {
                save("last.safetensors");
            }
        }
        if (pending != null) takeLosses(step(), 0);
    }

    private void run(SubjectSteps subject, boolean asynchronous) {
        long update = state.generator().next(asynchronous, pending != null);
        subject.run(schedule, step(), update, pending == subject);
        state.nextStep();
        // The losses of a step on a device are read while the next one runs, so that it has no gap between them.
        if (pending != null) takeLosses(step() - 1, pending == subject ? 1 : 0);
        pending = subject;
    }

    /**
     * Takes the losses of the step under way, which has run, and gives its batch back. Allocates nothing.
     *
     * @param done number of the step, from 1 on; @param runsAgo how many runs of its session ago it was
     */
    private void takeLosses(long done, int runsAgo) {
        SubjectSteps subject = pending;
        pending = null;
        subject.takeLosses(runsAgo);
        state.countStep(subject.generatorUpdated(), subject.allUpdated());
        if (state.skippedInARow() >= MAX_SKIPPED_IN_A_ROW)
            throw new InputException(
                    "step " + done,
                    "the gradients of " + MAX_SKIPPED_IN_A_ROW + " steps on end were infinite or NaN: the run diverged",
                    "Lower optimizer.learning_rate, set optimizer.clip_norm, or raise loss.correlation_eps");
        // An iterator would be allocated.
        for (int i = 0; i < listeners.size(); i++) listeners.get(i).step(done, steps(), subject.loss());
    }

    private void endEpoch(double imagesPerSecond) {
        List<EpochResult.Metric> metrics = subjects.takeMeans();
        metrics.add(rate(StepInput.GENERATOR_RATE, schedule.generatorRate(step() - 1)));
        if (schedule.settings().adversarial())
            metrics.add(rate(StepInput.DISCRIMINATOR_RATE, schedule.discriminatorRate(step() - 1)));
        Subjects.Validation v = subjects.validate();
        metrics.addAll(v.perSubject());
        int epoch = (int) (step() / stepsPerEpoch());
        int skipped = state.takeSkippedInEpoch();
        EpochResult e = new EpochResult(
                epoch, train.epochs(), step(), metrics, v.meanR(), v.medianR(), imagesPerSecond, skipped);
        boolean better = state.updateBest(v.meanR());
        for (TrainerListener l : listeners) l.epoch(e);
        if (better) save("best.safetensors");
        save("last.safetensors");
    }

    private static EpochResult.Metric rate(StepInput rate, double value) {
        return new EpochResult.Metric(rate.key(), EpochResult.Kind.LEARNING_RATE, "", value);
    }

    private void save(String name) {
        if (folder == null) return;
        Path file = folder.resolve(name);
        Checkpoint.save(file, vars, config(), recipe, state);
        for (TrainerListener l : listeners) l.checkpoint(file);
    }

    /** A parameter's or state's present contents by its name in checkpoints. */
    public float[] variable(String name) {
        return storage(name).toFloats();
    }

    Storage storage(String variable) {
        Storage s = vars.find(variable);
        if (s == null) throw new IllegalArgumentException("no variable '" + variable + "'");
        return s;
    }

    /** Names of all parameters and states. */
    public List<String> variables() {
        return vars.types().keySet().stream()
                .filter(v -> !v.equals(Predictor.MOMENTS))
                .toList();
    }

    @Override
    public void close() {
        // They are null where the constructor failed to open them, and closed what it had.
        if (subjects != null) subjects.close();
        vars.close();
    }
}
