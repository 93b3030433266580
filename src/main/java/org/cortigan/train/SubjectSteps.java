// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.exec.Arena;
import org.cortigan.exec.Device;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Memory;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;
import org.jspecify.annotations.Nullable;

/** Runs the training steps of one subject: its session, its batches and its state. */
final class SubjectSteps implements AutoCloseable {
    /** Photographs of a validation that draws samples, at most: each takes as long as dozens of other predictions. */
    private static final int SAMPLED = 200;

    /** Photographs per copy to the device, for resident data. */
    private static final int UPLOAD_IMAGES = 64;

    private final SubjectSetup setup;
    private final BatchLoader.Batching batching;
    /** Photographs of a micro-batch that this rank has. */
    private final int share;

    private final Device device;
    private final Variables vars;
    private final StepGraph graph;
    private final Optional<FrozenPart> frozen;
    private final Session session;
    private final StepInputs inputs;
    private final StepLosses losses;
    private final Consumer<String> log;
    /** Batches of the queued steps, oldest first. Each returns to the loader when its losses have been read. */
    private final ArrayDeque<BatchLoader.Batch> inFlight = new ArrayDeque<>();

    private RunState.SubjectState state;
    /** Null before the training responses are first needed. */
    private @Nullable ResponseScaling scaling;

    private boolean uploaded;
    /** Null before {@link #begin} and after {@link #end}. */
    private @Nullable BatchLoader loader;

    /** The features, where they are computed once; null before {@link #begin} and after {@link #end}. */
    private @Nullable FeatureCache features;

    /** Predicts the validation photographs during a run; null without a validation split. */
    private @Nullable Predictor predictor;

    /**
     * @param arena memory that the sessions of all subjects share, because only one of them runs at a time
     * @param log receives messages about the responses
     */
    SubjectSteps(
            SubjectSetup setup,
            TrainSettings train,
            Device device,
            Variables vars,
            boolean resident,
            Arena arena,
            Consumer<String> log) {
        this.setup = setup;
        this.log = log;
        this.device = device;
        this.vars = vars;
        share = setup.share(train);
        batching = new BatchLoader.Batching(
                setup.split().training(),
                setup.batch(train) * setup.microBatches(train),
                setup.batch(train),
                setup.settings().shard(),
                setup.settings().model().generator().image(),
                resident,
                train.shufflePairs(),
                train.augmentation(),
                train.seed(),
                setup.settings()
                        .model()
                        .generator()
                        .diffusion()
                        .map(d -> new TrainingNoise(d.terminalShare(), train.seed()))
                        .orElse(null));
        graph = setup.step(train, resident);
        frozen = setup.frozen(train);
        long features = frozen.map(FrozenPart::elements).orElse(0) * (long) batching.share() * Float.BYTES;
        if (features > Integer.MAX_VALUE)
            throw train.wrong(
                    "batch",
                    "the features of the " + batching.share() + " photographs of a step are " + features
                            + " bytes, more than " + Integer.MAX_VALUE,
                    "Lower train.batch or train.accumulate, or set train.cache_features to no");
        Graph program = SubjectSetup.program(graph, frozen, train.recompute());
        session = new Session(program, device, vars, arena);
        try {
            inputs = new StepInputs(graph, StepInput.of(program), session);
            losses = new StepLosses(graph, session);
            inputs.writeNoise(train.seed());
        } catch (RuntimeException | Error e) {
            session.close();
            throw e;
        }
        state = new RunState.SubjectState(losses.size(), setup.fingerprint());
    }

    SubjectSetup setup() {
        return setup;
    }

    ModelConfig.Subject subject() {
        return setup.subject();
    }

    StepGraph graph() {
        return graph;
    }

    Session session() {
        return session;
    }

    RunState.SubjectState state() {
        return state;
    }

    /**
     * Continues from another run of the same subject.
     *
     * @param scaling of the responses that the other run's network learned
     */
    void resume(RunState.SubjectState saved, ResponseScaling scaling) {
        state = saved;
        this.scaling = scaling;
        uploaded = false;
    }

    /** The scaling of the responses that the network learns: that of the resumed run, or of the training images. */
    ResponseScaling scaling() {
        if (scaling == null) scaling = setup.scaling(log);
        return scaling;
    }

    /** The training data with the responses that the network learns. */
    TrainingData learned() {
        return new StandardisedResponses(setup.data(), scaling());
    }

    /** Photographs in a step, of all ranks. */
    int batch() {
        return batching.batch();
    }

    /** Steps of this subject per epoch. */
    long stepsPerEpoch() {
        return batching.stepsPerEpoch();
    }

    /** Copies the training data to the device once, if they are resident. */
    private void upload() {
        if (!batching.resident() || uploaded) return;
        uploaded = frozen.isEmpty() || features != null;
        int[] training = setup.split().training();
        BatchLoader.Content content = content();
        int rows = Math.min(UPLOAD_IMAGES, training.length);
        int imageBytes = content.photographs() ? batching.imageBytes() : 0, responseBytes = 4 * setup.vertices();
        long photographs = (long) rows * imageBytes, featureRows = (long) rows * content.featureBytes();
        TrainingData data = learned();
        try (Memory m = device.allocateHost(photographs + featureRows + (long) rows * responseBytes)) {
            ByteBuffer responses = m.view(0, (long) rows * responseBytes);
            ByteBuffer features = m.view(responses.capacity(), featureRows);
            ByteBuffer images = m.view(responses.capacity() + featureRows, photographs);
            for (int first = 0; first < training.length; first += rows) {
                int n = Math.min(rows, training.length - first);
                images.clear();
                features.clear();
                responses.clear();
                for (int i = first; i < first + n; i++) {
                    if (content.photographs()) data.image(training[i], images);
                    if (content.features() != null) content.features().read(training[i], features);
                    data.responses(training[i], responses);
                }
                inputs.writeResident(
                        first, images.flip(), features.rewind().limit(n * content.featureBytes()), responses.flip());
                device.runtime().synchronize();
            }
        }
    }

    private BatchLoader.Content content() {
        if (frozen.isEmpty()) return BatchLoader.Content.PHOTOGRAPHS;
        DType type = setup.settings().compute();
        FeatureCache.Reader reader = features == null ? null : features.reader(type);
        return new BatchLoader.Content(inputs.takePhotographs(), frozen.get().elements() * type.bytes(), reader);
    }

    private BatchLoader loader(long first, long last) {
        return new BatchLoader(device, learned(), batching, content(), first, last);
    }

    /** Writes the inputs of the first step without running it, for profiling; features that are not computed are 0. */
    void fillInputs(StepSchedule schedule) {
        upload();
        try (BatchLoader first = loader(0, 1)) {
            write(first.next(), schedule, 0, 1, false);
            // Closing the loader frees memory that the device may still be copying.
            device.runtime().synchronize();
        }
    }

    /**
     * Computes the features, starts loading batches, up to the last epoch, and prepares validation.
     *
     * @param stop whether to give up, after which no step can run
     */
    void begin(int epochs, BooleanSupplier stop) {
        if (frozen.isPresent()) {
            features = FeatureCache.open(setup, frozen.get(), vars, stop, log).orElse(null);
            if (features == null) return;
        }
        upload();
        boolean averaged = setup.settings().generatorOptimizer().ema() > 0;
        if (validates())
            predictor = new Predictor(
                    setup.settings().model().validating(),
                    setup.subject(),
                    device,
                    vars,
                    averaged ? Weights.Use.PREDICT_AVERAGE : Weights.Use.PREDICT,
                    share,
                    false,
                    Predictor.Form.EVALUATION,
                    scaling(),
                    g -> frozen.map(f -> f.prediction(g)).orElse(g));
        loader = loader(state.step, stepsPerEpoch() * epochs);
    }

    private static <T> T begun(@Nullable T resource) {
        return Objects.requireNonNull(resource, "the run has not begun");
    }

    /** Frees the resources of {@link #begin}. */
    void end() {
        if (loader != null) loader.close();
        if (predictor != null) predictor.close();
        if (features != null) features.close();
        loader = null;
        predictor = null;
        features = null;
        inFlight.clear();
    }

    /**
     * Runs the next step, or queues it on a device with a stream. At most one earlier step of this subject may still
     * have losses that are not taken.
     *
     * @param step number of the step in the whole run, from 0 on
     * @param update number of the generator's update, from 1 on; with several subjects, of the backbone's update
     * @param pending whether the previous step of the run was also this subject's and its losses are not known yet
     */
    void run(StepSchedule schedule, long step, long update, boolean pending) {
        BatchLoader.Batch batch = begun(loader).next();
        write(batch, schedule, step, update, pending);
        session.run();
        inFlight.addLast(batch);
    }

    private void write(BatchLoader.Batch batch, StepSchedule schedule, long step, long update, boolean pending) {
        boolean asynchronous = isAsynchronous();
        inputs.writeBatch(batch);
        inputs.writeGenerator(
                schedule.pixelWeight(step), schedule.correlationWeight(step), schedule.generatorRate(step), update);
        inputs.writeDropout(batching.seed(), step);
        inputs.writeHeadUpdate(state.generator.next(asynchronous, pending));
        inputs.writeDiscriminators(
                schedule.adversarialWeight(step),
                schedule.discriminatorRate(step),
                state.discriminators.next(asynchronous, pending));
    }

    private boolean isAsynchronous() {
        return device.runtime().isAsynchronous();
    }

    /**
     * Reads the losses of the oldest step whose losses have not been read, and returns its batch to the loader.
     *
     * @param runsAgo 0 for the last run; 1 for the run before it
     */
    void takeLosses(int runsAgo) {
        losses.read(runsAgo);
        begun(loader).done(inFlight.removeFirst());
        state.step++;
        state.generator.count(losses.generatorUpdated());
        if (losses.hasDiscriminators()) state.discriminators.count(losses.discriminatorsUpdated());
        losses.addTo(state.sums);
    }

    /** Whether the generator was updated in the last step whose losses were taken. */
    boolean generatorUpdated() {
        return losses.generatorUpdated();
    }

    /** Whether all networks were updated in the last step whose losses were taken. */
    boolean allUpdated() {
        return losses.generatorUpdated() && (!losses.hasDiscriminators() || losses.discriminatorsUpdated());
    }

    /** The generator's loss in the last step whose losses were taken. */
    double loss() {
        return losses.loss();
    }

    /** Returns the means over the finished epoch and resets the sums. */
    List<EpochResult.Metric> takeMeans() {
        List<EpochResult.Metric> means = losses.means(state.sums, stepsPerEpoch());
        Arrays.fill(state.sums, 0);
        return means;
    }

    /** Whether the subject has validation photographs. */
    boolean validates() {
        return setup.split().validation().length > 0;
    }

    /** Pearson's r of each vertex over the validation photographs; only during a run. */
    double[] validate() {
        TrainingData seen = features == null ? setup.data() : features.of(setup.data());
        int[] all = validated();
        Ranks ranks = device.runtime().ranks();
        long n = all.length;
        int[] own = Arrays.copyOfRange(
                all, (int) (n * ranks.rank() / ranks.size()), (int) (n * (ranks.rank() + 1) / ranks.size()));
        return ofAllRanks(ranks, Ensemble.evaluate(begun(predictor), seen, own)).r();
    }

    /** Merges the moments of all ranks, in order. */
    private static PearsonAccumulator ofAllRanks(Ranks ranks, PearsonAccumulator own) {
        if (ranks.size() == 1) return own;
        double[] moments = own.moments();
        ByteBuffer bytes = ByteBuffer.allocate(Long.BYTES + moments.length * Double.BYTES);
        bytes.putLong(own.images()).asDoubleBuffer().put(moments);
        PearsonAccumulator all = new PearsonAccumulator(own.vertices());
        for (byte[] b : ranks.gather(bytes.array())) {
            ByteBuffer part = ByteBuffer.wrap(b);
            long images = part.getLong();
            if (images > 0 && !all.merge(part.asDoubleBuffer(), images))
                throw new IllegalStateException("a rank has moments that are not finite");
        }
        return all;
    }

    /** The validation photographs; some of them, the same in every epoch, where samples are drawn. */
    private int[] validated() {
        int[] all = setup.split().validation();
        if (all.length <= SAMPLED || begun(predictor).sampling().isEmpty()) return all;
        int[] some = Arrays.copyOf(Permutations.order(all.length, batching.seed(), 0), SAMPLED);
        return Arrays.stream(some).map(i -> all[i]).sorted().toArray();
    }

    /** How the validated predictions were made; "" for a model with one way. */
    String validation() {
        String text = begun(predictor).prediction();
        int photographs = validated().length;
        return photographs == setup.split().validation().length ? text : text + ", " + photographs + " photographs";
    }

    @Override
    public void close() {
        try {
            end();
        } finally {
            session.close();
        }
    }
}
