// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.data.Region;
import org.cortigan.data.Settings;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.mem.Memory;
import org.cortigan.model.Discriminator;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.nn.Weights;
import org.cortigan.optim.Optimizer;
import org.cortigan.plan.Recompute;

/** What a {@link Trainer} has of each subject: its data, the graph of a step on it, and how far it is. */
final class SubjectSteps implements AutoCloseable {
    /** Inputs that are new in every step where the data are not on the device. */
    static final List<String> BATCH = List.of("images", "responses");

    final ModelConfig.Subject subject;
    final TrainingData data;
    final int[] training;
    final int[] validation;
    final long perEpoch;
    StepGraph graph;
    Session session;
    BatchLoader loader;
    /** Of the held-out photographs, during a run; null where there are none. */
    Predictor predictor;

    private final ModelConfig config;
    private final LossConfig loss;
    private final Optimizer og;
    private final Optimizer od;
    private final DType compute;
    private final List<Region> regions;
    private final boolean shufflePairs;
    private final Map<String, Storage> in = new LinkedHashMap<>();
    private final List<String> names = new ArrayList<>();
    private Device device;
    private boolean resident;
    private boolean uploaded;
    private Session.Scalars scalars;
    private double[] values;
    private double[] sums;
    private int norm;
    private int normD;
    private int total;
    private BatchLoader.Batch under;
    private long step;
    private long applied;
    private long appliedD;
    /** Whether the last update that is known of was left out. */
    private boolean missed;

    private boolean missedD;

    SubjectSteps(
            Recipe recipe,
            ModelConfig config,
            ModelConfig.Subject subject,
            TrainingData data,
            LossConfig loss,
            Optimizer og,
            Optimizer od,
            DType compute,
            Consumer<String> log) {
        this.config = config;
        this.subject = subject;
        this.data = data;
        this.loss = loss;
        this.og = og;
        this.od = od;
        this.compute = compute;
        Settings t = recipe.section("train");
        int batch = t.integer("batch", 1);
        int[][] split = Trainer.split(recipe, data.count());
        training = split[0];
        validation = split[1];
        shufflePairs = t.flag("shuffle_pairs");
        perEpoch = BatchLoader.stepsPerEpoch(training.length, batch);
        if (perEpoch < 1)
            throw t.wrong("batch", batch + " is more than the " + training.length + " training images", "Set it lower");
        Discriminator d = config.discriminator();
        boolean gan = loss.ganTerm().weight() > 0 && d.type() != Discriminator.Type.NONE;
        regions = gan
                ? data.regions(d.regions(), d.order(), d.mesh().isEmpty() ? null : Path.of(d.mesh()), d.least(), log)
                : List.of();
    }

    private StepGraph steps(int batch, boolean resident) {
        return new StepGraph(config, subject, regions, loss, og, od, batch, compute, resident ? training.length : 0);
    }

    private static Graph program(StepGraph g, boolean recompute) {
        return recompute ? Recompute.cheap(g.graph()) : g.graph();
    }

    /** The graph of a step, for a plan. */
    Graph program(int batch, boolean resident, boolean recompute) {
        return program(steps(batch, resident), recompute);
    }

    /** @param arena a session that never runs together with this one, whose memory it may use; or null */
    void open(Device device, Variables vars, int batch, boolean resident, boolean recompute, Session arena) {
        this.device = device;
        this.resident = resident;
        graph = steps(batch, resident);
        session = new Session(program(graph, recompute), device, vars, Session.Options.DEFAULT.sharing(arena));
        for (String n : List.of(
                "images",
                "responses",
                "index.images",
                "index.responses",
                "loss.weights",
                "gan.weight",
                "lr.g",
                "lr.d",
                "t.g",
                "t.d",
                "t.head")) if (session.hasInput(n)) in.put(n, session.input(n));
        if (!resident) BATCH.forEach(session::sendAhead);
        String prefix = subject.name().isEmpty() ? "" : subject.name() + ".";
        List<String> outputs = graph.graph().outputs().keySet().stream()
                .filter(n -> !n.startsWith("updated"))
                .toList();
        for (String n : outputs) {
            if (n.startsWith("d.") || n.equals("g.loss"))
                for (Region r : graph.regions()) names.add(prefix + n + "." + r.name());
            else names.add(prefix + n);
        }
        scalars = session.scalars(outputs);
        values = new double[names.size()];
        sums = new double[names.size()];
        norm = names.indexOf(prefix + "norm.g");
        normD = names.indexOf(prefix + "norm.d");
        total = names.indexOf(prefix + "loss");
    }

    /** Brings the training data to the device, once, where they live there. */
    void upload() {
        if (!resident || uploaded) return;
        uploaded = true;
        int rows = Math.min(64, training.length),
                image = config.generator().imageBytes(),
                responses = 4 * subject.vertices();
        try (Memory m = device.allocateHost(Math.multiplyExact((long) rows, image + responses))) {
            ByteBuffer images = m.view((long) rows * responses, (long) rows * image),
                    targets = m.view(0, (long) rows * responses);
            for (int at = 0; at < training.length; at += rows) {
                images.clear();
                targets.clear();
                for (int i = at; i < Math.min(training.length, at + rows); i++) {
                    data.image(training[i], images);
                    data.responses(training[i], targets);
                }
                session.input("data.images").write(images.flip(), (long) at * image);
                session.input("data.responses").write(targets.flip(), (long) at * responses);
                device.runtime().synchronize();
            }
        }
    }

    /** Batches of steps [first, last) of this subject. */
    BatchLoader loader(int batch, long seed, long first, long last) {
        return new BatchLoader(
                device,
                data,
                training,
                resident,
                shufflePairs,
                config.generator().imageBytes(),
                batch,
                seed,
                first,
                last);
    }

    void begin(Variables vars, int batch, long seed, int epochs) {
        upload();
        Weights.Use use = og.ema() > 0 ? Weights.Use.PREDICT_AVERAGE : Weights.Use.PREDICT;
        if (validation.length > 0)
            predictor = new Predictor(config, subject, device, vars, use, batch, false, Predictor.Form.EVALUATION);
        loader = loader(batch, seed, step, perEpoch * epochs);
    }

    void end() {
        if (loader != null) loader.close();
        if (predictor != null) predictor.close();
        loader = null;
        predictor = null;
    }

    /**
     * Number of the next update, from 1 on, for the optimizer's correction of its averages. On a device with a stream
     * it must be given before it is known whether the update under way is left out; there an update counts as made
     * until the one after it has been asked for, whether it is known by then or not, so that a run that pauses gives
     * the same bits.
     */
    static long update(long applied, boolean open) {
        return applied + 1 + (open ? 1 : 0);
    }

    /**
     * @param update number of the backbone's update; @param pending whether the step before this one is this subject's
     *     too and its losses are not known yet; @param at the step of the whole run, of {@code per} an epoch
     */
    void feed(
            BatchLoader.Batch b,
            LossConfig loss,
            double rate,
            double rateD,
            long update,
            boolean pending,
            long at,
            long per) {
        if (resident) {
            in.get("index.images").write(b.at);
            in.get("index.responses").write(b.responsesAt);
        } else {
            in.get("images").write(b.images);
            in.get("responses").write(b.responses);
        }
        boolean late = device.runtime() != null;
        in.get("loss.weights").set(0, loss.pixelTerm().at(at, per));
        in.get("loss.weights").set(1, loss.correlationTerm().at(at, per));
        in.get("lr.g").set(0, rate);
        in.get("t.g").set(0, update);
        if (in.get("t.head") != null) in.get("t.head").set(0, update(applied, late && (pending || missed)));
        if (normD < 0) return;
        in.get("gan.weight").set(0, loss.ganTerm().at(at, per));
        in.get("lr.d").set(0, rateD);
        in.get("t.d").set(0, update(appliedD, late && (pending || missedD)));
    }

    /** The batch of the step under way; the loader gets it back when its losses have been read. */
    void under(BatchLoader.Batch b) {
        under = b;
    }

    /**
     * Takes the losses of a step that has run.
     *
     * @param back how many runs ago it was
     * @return whether everything was updated
     */
    boolean count(int back) {
        scalars.read(back, values);
        loader.done(under);
        under = null;
        step++;
        missed = !Double.isFinite(values[norm]);
        if (!missed) applied++;
        missedD = normD >= 0 && !Double.isFinite(values[normD]);
        if (normD >= 0 && !missedD) appliedD++;
        for (int i = 0; i < sums.length; i++) sums[i] += values[i];
        return !missed && !missedD;
    }

    /** Whether the generator was updated in the last step counted: its gradients were finite. */
    boolean generatorMoved() {
        return !missed;
    }

    /** Total loss of the last step counted. */
    double loss() {
        return values[total];
    }

    /** Adds the means over an epoch by name, and begins anew. */
    void means(Map<String, Double> to) {
        for (int i = 0; i < sums.length; i++) {
            to.put(names.get(i), sums[i] / perEpoch);
            sums[i] = 0;
        }
    }

    /** For a checkpoint. */
    Map<String, Object> state() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("step", step);
        m.put("applied", applied);
        m.put("applied_d", appliedD);
        if (missed) m.put("missed", true);
        if (missedD) m.put("missed_d", true);
        m.put("regions", fingerprint());
        m.put("sums", Arrays.stream(sums).mapToObj(Double::toString).toList());
        return m;
    }

    void restore(Path file, Map<String, Object> state) {
        Settings s = Settings.of(file + ", state", state);
        if (s.whole("regions") != fingerprint())
            throw new InputException(
                    file.toString(),
                    "cannot be resumed: its discriminators judge other vertices, or in another order",
                    "Resume with the ROI masks and meshes of that run, or begin a new one");
        step = s.whole("step");
        applied = s.whole("applied");
        appliedD = s.whole("applied_d");
        missed = Boolean.TRUE.equals(state.get("missed"));
        missedD = Boolean.TRUE.equals(state.get("missed_d"));
        List<?> old = (List<?>) state.get("sums");
        for (int i = 0; i < sums.length; i++) sums[i] = Double.parseDouble((String) old.get(i));
    }

    private long fingerprint() {
        long h = 0;
        for (Region r : graph.regions()) h = h * 31 + r.name().hashCode() * 31L + Arrays.hashCode(r.vertices());
        return h & 0xffffffffffffL; // exact as a number of JSON
    }

    @Override
    public void close() {
        end();
        if (session != null) session.close();
    }
}
