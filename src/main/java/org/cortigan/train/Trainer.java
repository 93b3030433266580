// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.Region;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.io.FolderLock;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Freeze;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Shard;
import org.cortigan.nn.Weights;
import org.cortigan.plan.PlanReport;
import org.jspecify.annotations.Nullable;

/**
 * Trains a model from a recipe, for one subject or for several subjects with a shared backbone. With several subjects,
 * every step trains on a batch of one subject, and an epoch visits all batches of all subjects in random order.
 * Confined to the thread that made it, except {@link #requestStop()}. Equal recipe, data, device and number of threads
 * give equal bits, also across {@link #resume}.
 *
 * <p>If the device belongs to one rank of several ({@link Device#in}), every rank makes a trainer of the same recipe
 * and data and calls the same methods in the same order. Each trains on its part of every batch of {@code train.batch}
 * photographs; all have the same variables after every step. Rank 0 writes the files.
 */
public final class Trainer implements AutoCloseable {
    /** A run fails after this many consecutive steps with gradients that are not finite. */
    private static final int MAX_SKIPPED_IN_A_ROW = 20;

    private final Recipe recipe;
    private final TrainSettings train;
    private final Device device;
    private final Ranks ranks;
    /** Null without a folder, and on all ranks but the first. */
    private final @Nullable Path folder;

    private final Consumer<String> log;
    private final Variables vars;
    /** Null without a folder. */
    private final @Nullable FolderLock lock;

    private final Subjects subjects;
    private final SubjectOrder order;
    private final StepSchedule schedule;
    private final Initialiser initialiser;
    private List<String> initialWeights = List.of();
    private final List<TrainerListener> listeners = new ArrayList<>();
    private RunState state;

    /** Whether the variables have values: initial ones, or those of a checkpoint. */
    private boolean hasValues;

    /** Whether the initial values that the data determine are set; a checkpoint has them. */
    private boolean initialised;

    /** Whether the run continues from another checkpoint than the last one of its folder. */
    private boolean isLastOther;

    /** The subject of the last step, while the losses of that step are not read; null otherwise. */
    private @Nullable SubjectSteps pending;

    private volatile boolean stopRequested;

    /**
     * Prepares a run for one subject.
     *
     * @param folder folder of the checkpoints, which no other run may use until {@link #close}; null for no checkpoints
     * @throws InputException if recipe, data and device do not fit together
     */
    public Trainer(Recipe recipe, TrainingData data, Device device, @Nullable Path folder) {
        this(recipe, Map.of("", data), device, folder, s -> {});
    }

    /**
     * Prepares a run for one or several subjects.
     *
     * @param sets data by subject name; a single subject has the name ""
     * @param folder folder of the checkpoints, which no other run may use until {@link #close}; null for no checkpoints
     * @param log receives messages for the user, for example about regions that are left out
     * @throws InputException if recipe, data and device do not fit together
     */
    public Trainer(
            Recipe recipe,
            Map<String, ? extends TrainingData> sets,
            Device device,
            @Nullable Path folder,
            Consumer<String> log) {
        this.recipe = QueryRegions.named(PretrainedRecipe.withColours(recipe), sets.values(), log);
        this.log = log;
        train = TrainSettings.of(this.recipe);
        this.device = train.withPrecision(device);
        ranks = this.device.runtime().ranks();
        this.folder = ranks.isFirst() ? folder : null;
        if (ranks.size() > 1 && train.precision() == Precision.FP8)
            throw train.wrong(
                    "precision", "fp8 has scales that each rank would choose for itself", "Use bf16, or one rank");
        StepSettings settings = settings(this.recipe, train, sets, this.device);
        List<SubjectSetup> setups = setups(this.recipe, train, settings, sets, log);
        requireValidationToStopEarly(setups);
        if (settings.freeze().isOn()) requireFixedFeatures(settings);
        if (fitsReadout()) requireFit(settings, setups);
        MemoryBudget budget = new MemoryBudget(this.device, setups, train);
        boolean resident = budget.isDataResident();
        budget.check(resident, log);
        vars = new Variables(this.device);
        try {
            lock = this.folder == null ? null : FolderLock.take(this.folder, Trainer.class, log);
            subjects = new Subjects(setups, train, this.device, vars, resident, log);
            order = new SubjectOrder(subjects.stepsPerEpoch(), train.seed());
            schedule = new StepSchedule(settings, order.stepsPerEpoch(), order.stepsPerEpoch() * train.epochs());
            state = new RunState(order.stepsPerEpoch(), train.seed(), subjects.states());
            declareFrozen();
            List<Weights.Spec> fp8States = subjects.specs(StepGraph::fp8States);
            if (train.precision() == Precision.FP8 && fp8States.isEmpty())
                throw train.wrong(
                        "precision",
                        "fp8 finds no linear layer that is large enough and has extents that are multiples of 16",
                        "Use bf16; or a ViT-B and a batch that is a multiple of 16; or train.fp8_layers: all");
            List<Weights.Spec> states = new ArrayList<>(subjects.specs(StepGraph::states));
            states.addAll(fp8States);
            states.removeIf(s -> !vars.has(s.name())); // A frozen layer in FP8 has no gradient.
            initialiser = new Initialiser(vars, subjects.parameters(), states, settings.freeze());
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private static StepSettings settings(
            Recipe recipe, TrainSettings train, Map<String, ? extends TrainingData> sets, Device device) {
        Ranks ranks = device.runtime().ranks();
        return StepSettings.of(recipe, subjects(sets), train.precision(), device.compute(train.precision()))
                .in(new Shard(ranks.rank(), ranks.size()));
    }

    private static List<SubjectSetup> setups(
            Recipe recipe,
            TrainSettings train,
            StepSettings settings,
            Map<String, ? extends TrainingData> sets,
            Consumer<String> log) {
        return settings.model().subjects().stream()
                .map(s -> SubjectSetup.of(
                        recipe,
                        train,
                        settings,
                        s,
                        Objects.requireNonNull(sets.get(s.name()), "no data of the subject"),
                        log))
                .toList();
    }

    /**
     * The bytes of a device that a run takes, as it counts them before it begins; allocates none of them.
     *
     * @param sets data by subject name; a single subject has the name ""
     * @throws InputException if recipe, data and device do not fit together
     */
    public static long bytes(Recipe recipe, Map<String, ? extends TrainingData> sets, Device device) {
        Consumer<String> quiet = line -> {};
        Recipe whole = QueryRegions.named(PretrainedRecipe.withColours(recipe), sets.values(), quiet);
        TrainSettings train = TrainSettings.of(whole);
        StepSettings settings = settings(whole, train, sets, device);
        return new MemoryBudget(train.withPrecision(device), setups(whole, train, settings, sets, quiet), train)
                .bytes();
    }

    /** Steps on cached features do not read the frozen part's variables, but computing the features does. */
    private void declareFrozen() {
        List<Weights.Spec> all = new ArrayList<>(subjects.specs(StepGraph::generatorSpecs));
        all.addAll(subjects.specs(StepGraph::states));
        for (Weights.Spec s : all) vars.get(s.name(), new Type(DType.F32, s.shape()));
    }

    private void requireValidationToStopEarly(List<SubjectSetup> setups) {
        boolean validates = setups.stream().allMatch(s -> s.split().validation().length > 0);
        if (train.patience() > 0 && !validates)
            throw train.wrong(
                    "patience",
                    train.patience() + " needs validation images, and train.validation holds out none",
                    "Set train.validation above 0, or train.patience to 0");
    }

    private void requireFixedFeatures(StepSettings settings) {
        if (normalisesBatches(settings))
            throw train.wrong(
                    "freeze",
                    "does not go with batch norm: its running statistics change in training, and with them the features",
                    "Choose another norm for the generator, or none");
    }

    private static boolean normalisesBatches(StepSettings settings) {
        return settings.model().generatorWeights(DType.F32).states().stream()
                .anyMatch(s -> s.name().startsWith(Generator.PREFIX) && s.name().endsWith(".running_mean"));
    }

    private void requireFit(StepSettings settings, List<SubjectSetup> setups) {
        if (settings.model().generator().rank() == 0)
            throw train.wrong(
                    "initial_readout",
                    "fitted needs a dense readout of combinations of the features",
                    "Set model.generator.readout to dense and model.generator.rank, for example to 384");
        if (normalisesBatches(settings))
            throw train.wrong(
                    "initial_readout",
                    "fitted does not go with batch norm: at first its running statistics are not those of the data",
                    "Choose another norm for the generator, or random");
        for (SubjectSetup s : setups)
            if (s.split().training().length < FittedReadout.LEAST_IMAGES)
                throw train.wrong(
                        "initial_readout",
                        "fitted needs at least " + FittedReadout.LEAST_IMAGES + " training images of each subject",
                        "Give more images, or use random");
    }

    private static List<ModelConfig.Subject> subjects(Map<String, ? extends TrainingData> sets) {
        List<ModelConfig.Subject> subjects = new ArrayList<>();
        sets.forEach((name, d) ->
                subjects.add(new ModelConfig.Subject(name, d.leftVertices(), d.rightVertices(), d.missing())));
        return subjects;
    }

    /**
     * Sets the initial values of the variables, unless they have some. A run that resumes never reads the files
     * {@code train.init} and {@code train.init_unet}, which may be gone.
     *
     * @throws InputException if such a file does not fit the model
     */
    private void initialise() {
        if (hasValues) return;
        initialWeights = initialiser.initialise(config(), recipe, train, log);
        hasValues = true;
    }

    /**
     * What the files of pre-trained networks hold that give the initial weights ({@code train.init} and
     * {@code train.init_unet}), for the user; empty if the recipe names none, or the run resumes.
     *
     * @throws InputException if a file does not fit the model
     */
    public List<String> initialWeights() {
        initialise();
        return initialWeights;
    }

    /**
     * The recipe with the values that files and data determine: colours ({@link PretrainedRecipe#withColours}), and the
     * names of the readout's queries.
     */
    public Recipe recipe() {
        return recipe;
    }

    /** Adds a listener. Listeners are called in the order in which they were added. */
    public void addListener(TrainerListener l) {
        listeners.add(l);
    }

    /** The ranks of the run. */
    public Ranks ranks() {
        return ranks;
    }

    /** The model that the recipe describes, with the subjects of the data. */
    public ModelConfig config() {
        return schedule.settings().model();
    }

    /** Names of the regions that have a discriminator, for the first subject. */
    public List<String> regions() {
        return subjects.first().graph().regions().stream().map(Region::name).toList();
    }

    /** Numbers of trained parameters: {generator, all discriminators}. */
    public long[] parameters() {
        return new long[] {
            ModelConfig.count(subjects.specs(StepGraph::trainedSpecs)),
            ModelConfig.count(subjects.specs(StepGraph::discriminatorSpecs))
        };
    }

    /** Number of the generator's parameters that are not trained. */
    public long frozenParameters() {
        return ModelConfig.count(subjects.specs(StepGraph::generatorSpecs)) - parameters()[0];
    }

    /** What of the generator is not trained. */
    public Freeze freeze() {
        return schedule.settings().freeze();
    }

    /** Memory of a step, for the subject with the most vertices. */
    public PlanReport plan() {
        return subjects.largest().session().plan().report();
    }

    /** The session of a step, for profiling; that of the subject with the most vertices. */
    public Session session() {
        initialise();
        return subjects.largest().session();
    }

    /** Writes the first batch to the inputs of the sessions without running a step, for profiling. */
    public void fillInputs() {
        initialise();
        for (SubjectSteps s : subjects.all()) s.fillInputs(schedule);
    }

    /** Indices of the training photographs of the first subject. */
    public int[] trainingImages() {
        return subjects.first().setup().split().training().clone();
    }

    /** Indices of the validation photographs of the first subject. */
    public int[] validationImages() {
        return subjects.first().setup().split().validation().clone();
    }

    /** Reads the training responses once, and tells what is odd about them, as a run does when it begins. */
    public void measureResponses() {
        subjects.scalings();
    }

    /** Numbers of training and of validation photographs, of all subjects together. */
    public long[] photographs() {
        long training = 0, validation = 0;
        for (SubjectSteps s : subjects.all()) {
            training += s.setup().split().training().length;
            validation += s.setup().split().validation().length;
        }
        return new long[] {training, validation};
    }

    /** Steps per epoch, of all subjects together. */
    public long stepsPerEpoch() {
        return schedule.stepsPerEpoch();
    }

    /** Photographs in the steps of an epoch, of all subjects together; those of an incomplete batch are left out. */
    public long imagesPerEpoch() {
        return subjects.all().stream()
                .mapToLong(s -> s.stepsPerEpoch() * s.batch())
                .sum();
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
     * Continues from a checkpoint of the same model, data and recipe.
     *
     * @throws InputException if the checkpoint is of another run; the trainer is then unchanged
     * @see #resume(Path, boolean)
     */
    public void resume(Path file) {
        resume(file, false);
    }

    /**
     * Continues from a checkpoint of the same model and data. The log receives every value of the recipe that differs
     * from the checkpoint's, and a jump of the learning rate.
     *
     * @param acceptsChanges whether losses, optimizer values, augmentation and the responses' means may differ; the
     *     number of epochs (not below those done) and values without influence on the model always may; the validation
     *     split, the number of steps of an epoch, and which losses there are, never
     * @throws InputException if the checkpoint is of another run; the trainer is then unchanged
     */
    public void resume(Path file, boolean acceptsChanges) {
        if (!hasValues) initialiser.initialise(train.seed()); // A checkpoint may lack states of FP8.
        Checkpoint.Resumed saved = Checkpoint.load(
                file,
                config(),
                subjectName(),
                vars,
                state,
                subjects::measuredScaling,
                new Resumption(recipe, schedule, acceptsChanges));
        saved.differences().forEach(log);
        state = saved.state();
        subjects.resume(saved);
        initialiser.copyToBf16();
        hasValues = true;
        initialised = true;
        isLastOther = folder != null && !isLast(file, folder);
        if (isLastOther && !isBestOf(state)) state.forgetBest();
        forgetBestOfAnotherValidation(file);
    }

    /** Correlations of samples and of means do not compare. */
    private void forgetBestOfAnotherValidation(Path file) {
        String now = validation(config()), before;
        try (SafeTensors t = SafeTensors.open(file)) {
            before = validation(Model.config(t));
        }
        if (now.equals(before)) return;
        state.forgetBest();
        log.accept("validation was by " + before + " and is by " + now
                + ": the best epoch so far is forgotten, and best.safetensors will be that of the next");
    }

    private static String validation(ModelConfig model) {
        return model.validating().generator().prediction();
    }

    private static boolean isLast(Path file, Path folder) {
        Path last = RunFolder.last(folder);
        try {
            return Files.exists(last) && Files.isSameFile(file, last);
        } catch (IOException e) {
            throw InputFiles.unreadable(file, e);
        }
    }

    /** Whether the folder's best checkpoint, if there is one, is that of a run with this state. */
    private boolean isBestOf(RunState state) {
        Path best = RunFolder.best(Objects.requireNonNull(folder, "the run has no folder"));
        return !Files.exists(best)
                || Checkpoint.state(best).filter(s -> s.best() == state.best()).isPresent();
    }

    /** Name of the only subject; "" if it has none or there are several. */
    private String subjectName() {
        return subjects.all().size() > 1 ? "" : subjects.first().setup().data().subjectName();
    }

    /** Stops the run after the current step and writes a checkpoint. Any thread may call this method. */
    public void requestStop() {
        stopRequested = true;
    }

    /** Whether the run ends before its last epoch, because validation has not improved for the recipe's patience. */
    public boolean endsEarly() {
        return train.patience() > 0 && state.epochsSinceBest() >= train.patience() && step() < steps();
    }

    /** Whether there is nothing left to do: no step, and no checkpoint to write. */
    public boolean isComplete() {
        return saysFirst(initialised && !isLastOther && (step() >= steps() || endsEarly()));
    }

    /** What rank 0 says, which alone knows the folder. */
    private boolean saysFirst(boolean own) {
        return ranks.largest(ranks.isFirst() && own ? 1 : 0) > 0;
    }

    /** Whether there is no reason to end; one exchange between the ranks tells. */
    private boolean goesOn() {
        int stop = 2, early = 1;
        int end = ranks.largest(stopRequested ? stop : ranks.isFirst() && endsEarly() ? early : 0);
        if (end == stop) stopRequested = true;
        return end == 0;
    }

    /** Whether some rank was asked to stop. */
    private boolean stops() {
        if (ranks.largest(stopRequested ? 1 : 0) > 0) stopRequested = true;
        return stopRequested;
    }

    /**
     * Trains until the last epoch ends, validation stops improving, or a stop is requested.
     *
     * @return whether the run is complete
     * @throws InputException if gradients stay infinite or NaN, or the ranks do not fit together
     */
    public boolean run() {
        if (ranks.size() > 1) {
            Agreement.require(ranks, decisive());
            device.runtime().meet();
        }
        initialise();
        try {
            boolean begins = step() == 0 && !initialised;
            if (begins) setValuesFromData();
            shareVariables();
            subjects.begin(train.epochs(), () -> stopRequested);
            // Before anything else of the folder changes: a kill at any moment then leaves files of one run.
            if (isLastOther) save("last.safetensors");
            isLastOther = false;
            for (TrainerListener l : listeners) l.begin();
            if (begins && fitsReadout() && !stops()) validateInitialValues();
            loop();
        } catch (RuntimeException | Error e) {
            // end() frees batches that the device may still be copying.
            pending = null;
            subjects.synchronizeAfter(e);
            throw e;
        } finally {
            subjects.end();
        }
        boolean early = saysFirst(endsEarly());
        if (early) log.accept(earlyEnd());
        boolean complete = step() >= steps() || early;
        if (stopRequested && !complete && step() % stepsPerEpoch() != 0) save("last.safetensors");
        // A launcher ends all ranks as soon as one ends: none may before rank 0 has saved.
        ranks.barrier();
        return complete;
    }

    /** What all ranks must have in common, by name. */
    private Map<String, Object> decisive() {
        Map<String, Object> own = new LinkedHashMap<>();
        own.put(Agreement.DEVICE, device.runtime().hasOwnMemory() ? device.kind() : device.name());
        own.putAll(Recipe.leaves(recipe.decisive()));
        for (SubjectSteps s : subjects.all()) {
            String of = s.setup().subject().name();
            if (!of.isEmpty()) of = " of " + of;
            TrainingData data = s.setup().data();
            own.put("number of photographs" + of, data.count());
            own.put("number of vertices" + of, data.leftVertices() + data.rightVertices());
        }
        own.put("number of steps done", step());
        return own;
    }

    private boolean fitsReadout() {
        return train.initialReadout() == TrainSettings.InitialReadout.FITTED;
    }

    /** Sets the initial values that the training data determine. */
    private void setValuesFromData() {
        List<SubjectSetup> setups =
                subjects.all().stream().map(SubjectSteps::setup).toList();
        QueryRegions.write(setups, vars, log);
        setups.forEach(s -> s.writeCells(vars));
        FeatureStatistics.measure(setups, vars, setups.get(0).share(train), initialiser::isGiven);
        if (fitsReadout() && !stops())
            FittedReadout.of(subjects.all(), vars, train).ifPresent(this::write);
        initialised = !stops();
    }

    private void write(FittedReadout fit) {
        fit.write(vars, initialiser);
        initialiser.copyToBf16();
        log.accept(fit.summary());
        if (initialiser.isGiven(Generator.RANK_WEIGHT))
            log.accept("the fit replaces the combinations of features of train.init;"
                    + " train.initial_readout=random would keep them");
    }

    /** Gives every rank the variables of rank 0, so that all have the same bits, whatever their processors. */
    private void shareVariables() {
        if (ranks.size() == 1) return;
        for (String name : variables()) {
            Storage s = vars.find(name);
            ByteBuffer stored = s.snapshot();
            boolean onHost = !device.runtime().hasOwnMemory(); // then the variable itself
            ByteBuffer direct = onHost
                    ? stored
                    : ByteBuffer.allocateDirect(stored.remaining())
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .put(stored)
                            .flip();
            ranks.fromFirst(direct);
            if (!onHost) s.write(direct);
        }
    }

    /** Fitted values may already be the best of the run. */
    private void validateInitialValues() {
        if (!subjects.all().stream().allMatch(SubjectSteps::validates)) return;
        double r = subjects.validate().meanR();
        log.accept(String.format(Locale.ROOT, "validation mean r of the initial values: %.4f", r));
        if (state.updateBest(r)) save("best.safetensors");
    }

    private String earlyEnd() {
        long epoch = step() / stepsPerEpoch();
        return "the run is complete after epoch " + epoch + " of " + train.epochs()
                + ": validation mean r has not improved since epoch " + (epoch - state.epochsSinceBest())
                + " (train.patience: " + train.patience() + ")";
    }

    private void loop() {
        boolean asynchronous = device.runtime().isAsynchronous();
        long epochBegin = System.nanoTime(), images = 0;
        while (step() < steps() && goesOn()) {
            SubjectSteps subject = subjects.get(order.subjectOfStep(step()));
            run(subject, asynchronous);
            images += subject.batch();
            boolean epochEnds = step() % stepsPerEpoch() == 0;
            boolean checkpointDue = train.checkpointSteps() > 0 && step() % train.checkpointSteps() == 0;
            if (!asynchronous || epochEnds || checkpointDue) takeLosses(step(), 0);
            if (epochEnds) {
                double seconds = (System.nanoTime() - epochBegin) / 1e9;
                endEpoch(images / seconds);
                epochBegin = System.nanoTime();
                images = 0;
            } else if (checkpointDue) {
                save("last.safetensors");
            }
        }
        if (pending != null) takeLosses(step(), 0);
    }

    private void run(SubjectSteps subject, boolean asynchronous) {
        long update = state.generator().next(asynchronous, pending != null);
        subject.run(schedule, step(), update, pending == subject);
        state.nextStep();
        // Read the losses of a step while the next step runs, so that the device never waits for the host.
        if (pending != null) takeLosses(step() - 1, pending == subject ? 1 : 0);
        pending = subject;
    }

    /**
     * Waits for the pending step, reads its losses and returns its batch to the loader. Allocates nothing.
     *
     * @param done number of the step, from 1 on
     * @param runsAgo runs of the subject's session since that step
     */
    private void takeLosses(long done, int runsAgo) {
        SubjectSteps subject = Objects.requireNonNull(pending, "no step is pending");
        pending = null;
        subject.takeLosses(runsAgo);
        state.countStep(subject.generatorUpdated(), subject.allUpdated());
        if (state.skippedInARow() >= MAX_SKIPPED_IN_A_ROW)
            throw new InputException(
                    "step " + done,
                    "the gradients of " + MAX_SKIPPED_IN_A_ROW
                            + " consecutive steps were infinite or NaN: the run diverged",
                    "Lower optimizer.learning_rate, set optimizer.clip_norm, or raise loss.correlation_eps");
        // A for-each loop would allocate an iterator.
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
                epoch,
                train.epochs(),
                step(),
                metrics,
                v.meanR(),
                v.medianR(),
                imagesPerSecond,
                skipped,
                v.prediction());
        boolean better = state.updateBest(v.meanR());
        for (TrainerListener l : listeners) l.epoch(e);
        if (!v.r().isEmpty()) for (TrainerListener l : listeners) l.validated(e, v.r());
        if (better) save("best.safetensors");
        save("last.safetensors");
    }

    private static EpochResult.Metric rate(StepInput rate, double value) {
        return new EpochResult.Metric(rate.key(), EpochResult.Kind.LEARNING_RATE, "", value);
    }

    private void save(String name) {
        if (folder == null) return;
        Path file = folder.resolve(name);
        Checkpoint.save(file, vars, config(), subjectName(), recipe, state, subjects.scalings());
        for (TrainerListener l : listeners) l.checkpoint(file);
    }

    /** The current values of a parameter or state, by its name in checkpoints. */
    public float[] variable(String name) {
        return storage(name).toFloats();
    }

    Storage storage(String variable) {
        initialise();
        return vars.find(variable);
    }

    /** Names of all parameters and states. */
    public List<String> variables() {
        return List.copyOf(vars.types().keySet());
    }

    @Override
    public void close() {
        try {
            // Null if the constructor failed before it had opened all sessions.
            if (subjects != null) subjects.close();
        } finally {
            vars.close();
            if (lock != null) lock.close();
        }
    }
}
