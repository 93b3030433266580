// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.List;
import org.cortigan.exec.Arena;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.jni.Memory;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.nn.Weights;

/** The training steps of one subject on a device: their session, the batches that feed it, and where they are. */
final class SubjectSteps implements AutoCloseable {
    /** Photographs that go to the device at a time where the data live there. */
    private static final int UPLOAD_IMAGES = 64;

    private final SubjectSetup setup;
    private final BatchLoader.Batching batching;
    private final Device device;
    private final Variables vars;
    private final StepGraph graph;
    private final Session session;
    private final StepInputs inputs;
    private final StepLosses losses;
    /** Batches of the steps under way, oldest first; the loader gets each back when its losses have been read. */
    private final ArrayDeque<BatchLoader.Batch> inFlight = new ArrayDeque<>();

    private RunState.SubjectState state;
    private boolean uploaded;
    private BatchLoader loader;

    /** Predicts the held-out photographs during a run; null where there are none. */
    private Predictor predictor;

    /** @param arena memory that the subjects' sessions share, as they never run at the same time */
    SubjectSteps(
            SubjectSetup setup, TrainSettings train, Device device, Variables vars, boolean resident, Arena arena) {
        this.setup = setup;
        this.device = device;
        this.vars = vars;
        batching = new BatchLoader.Batching(
                setup.split().training(),
                train.batch(),
                setup.settings().model().generator().imageBytes(),
                resident,
                train.shufflePairs(),
                train.seed());
        graph = setup.step(train.batch(), resident);
        session = new Session(SubjectSetup.program(graph, train.recompute()), device, vars, arena);
        try {
            inputs = new StepInputs(graph, session);
            losses = new StepLosses(graph, session);
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

    /** Goes on where another run of the same subject was. */
    void resume(RunState.SubjectState saved) {
        state = saved;
    }

    /** Steps of this subject in an epoch. */
    long stepsPerEpoch() {
        return batching.stepsPerEpoch();
    }

    /** Brings the training data to the device, once, where they live there. */
    private void upload() {
        if (!batching.resident() || uploaded) return;
        uploaded = true;
        int[] training = setup.split().training();
        int rows = Math.min(UPLOAD_IMAGES, training.length);
        int imageBytes = batching.imageBytes(), responseBytes = 4 * setup.vertices();
        try (Memory m = device.allocateHost(Math.multiplyExact((long) rows, imageBytes + responseBytes))) {
            ByteBuffer images = m.view((long) rows * responseBytes, (long) rows * imageBytes);
            ByteBuffer responses = m.view(0, (long) rows * responseBytes);
            for (int first = 0; first < training.length; first += rows) {
                images.clear();
                responses.clear();
                for (int i = first; i < Math.min(training.length, first + rows); i++) {
                    setup.data().image(training[i], images);
                    setup.data().responses(training[i], responses);
                }
                inputs.writeResident(
                        images.flip(), (long) first * imageBytes, responses.flip(), (long) first * responseBytes);
                device.runtime().synchronize();
            }
        }
    }

    private BatchLoader loader(long first, long last) {
        return new BatchLoader(device, setup.data(), batching, first, last);
    }

    /** Writes the inputs of the run's first step without running it; for a profile. */
    void fillInputs(StepSchedule schedule) {
        upload();
        try (BatchLoader first = loader(0, 1)) {
            write(first.next(), schedule, 0, 1, false);
            // The loader frees what is still being copied.
            device.runtime().synchronize();
        }
    }

    /** Prepares for the steps up to the end of the last epoch. */
    void begin(int epochs) {
        upload();
        boolean averaged = setup.settings().generatorOptimizer().ema() > 0;
        if (validates())
            predictor = new Predictor(
                    setup.settings().model(),
                    setup.subject(),
                    device,
                    vars,
                    averaged ? Weights.Use.PREDICT_AVERAGE : Weights.Use.PREDICT,
                    batching.batch(),
                    false,
                    Predictor.Form.EVALUATION);
        loader = loader(state.step, stepsPerEpoch() * epochs);
    }

    /** Frees what {@link #begin} made. */
    void end() {
        if (loader != null) loader.close();
        if (predictor != null) predictor.close();
        loader = null;
        predictor = null;
        inFlight.clear();
    }

    /**
     * Runs the next step, on a device with a stream only asks for it. The losses of the step before it must be taken
     * before the one after it.
     *
     * @param step number of the step of the whole run, from 0 on
     * @param update number of the update of the generator, from 1 on; of several subjects, of what they share
     * @param pending whether the step before this one is this subject's too and its losses are not known yet
     */
    void run(StepSchedule schedule, long step, long update, boolean pending) {
        BatchLoader.Batch batch = loader.next();
        write(batch, schedule, step, update, pending);
        session.run();
        inFlight.addLast(batch);
    }

    private void write(BatchLoader.Batch batch, StepSchedule schedule, long step, long update, boolean pending) {
        boolean asynchronous = isAsynchronous();
        inputs.writeBatch(batch);
        inputs.writeGenerator(
                schedule.pixelWeight(step), schedule.correlationWeight(step), schedule.generatorRate(step), update);
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
     * Takes the losses of the oldest step under way, which has run, and gives its batch back to the loader.
     *
     * @param runsAgo 0 for the last run; 1 for the one before it
     */
    void takeLosses(int runsAgo) {
        losses.read(runsAgo);
        loader.done(inFlight.removeFirst());
        state.step++;
        state.generator.count(losses.generatorUpdated());
        if (losses.hasDiscriminators()) state.discriminators.count(losses.discriminatorsUpdated());
        losses.addTo(state.sums);
    }

    /** Whether the generator was updated in the last step taken. */
    boolean generatorUpdated() {
        return losses.generatorUpdated();
    }

    /** Whether everything was updated in the last step taken. */
    boolean allUpdated() {
        return losses.generatorUpdated() && (!losses.hasDiscriminators() || losses.discriminatorsUpdated());
    }

    /** The generator's loss in the last step taken. */
    double loss() {
        return losses.loss();
    }

    /** Means over an epoch that has ended; begins to sum anew. */
    List<EpochResult.Metric> takeMeans() {
        List<EpochResult.Metric> means = losses.means(state.sums, stepsPerEpoch());
        Arrays.fill(state.sums, 0);
        return means;
    }

    /** Whether there are held-out photographs. */
    boolean validates() {
        return setup.split().validation().length > 0;
    }

    /** Pearson's r of each vertex over the held-out photographs, during a run. */
    double[] validate() {
        return Ensemble.evaluate(predictor, setup.data(), setup.split().validation())
                .r();
    }

    @Override
    public void close() {
        end();
        session.close();
    }
}
