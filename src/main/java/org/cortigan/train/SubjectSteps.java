package org.cortigan.train;

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
import org.cortigan.loss.LossConfig;
import org.cortigan.model.Discriminator;
import org.cortigan.model.ModelConfig;
import org.cortigan.optim.Optimizer;

/** What a {@link Trainer} has of each subject: its data, the graph of a step on it, and how far it is. */
final class SubjectSteps implements AutoCloseable {
    final ModelConfig.Subject subject;
    final TrainingData data;
    final int[] training;
    final int[] validation;
    final long perEpoch;
    final StepGraph graph;
    final Session session;
    BatchLoader loader;

    private final Device device;
    private final boolean shufflePairs;
    private final int imageBytes;
    private final Map<String, Storage> in = new LinkedHashMap<>();
    private final Storage norm;
    private final Storage normD;
    private final Storage total;
    private final List<String> names = new ArrayList<>();
    private final List<Storage> outputs = new ArrayList<>();
    private final double[] sums;
    private long step;
    private long applied;
    private long appliedD;

    /** @param arena a session that never runs together with this one, whose memory it may use; or null */
    SubjectSteps(
            Recipe recipe, ModelConfig config, ModelConfig.Subject subject, TrainingData data, LossConfig loss, Optimizer og,
            Optimizer od, Device device, Variables vars, DType compute, Session arena, Consumer<String> log) {
        this.subject = subject;
        this.data = data;
        this.device = device;
        Settings t = recipe.section("train");
        int batch = t.integer("batch", 1);
        int[][] split = Trainer.split(recipe, data.count());
        training = split[0];
        validation = split[1];
        shufflePairs = t.flag("shuffle_pairs");
        imageBytes = config.generator().imageBytes();
        perEpoch = BatchLoader.stepsPerEpoch(training.length, batch);
        if (perEpoch < 1)
            throw t.wrong("batch", batch + " is more than the " + training.length + " training images", "Set it lower");
        Discriminator d = config.discriminator();
        boolean gan = loss.ganTerm().weight() > 0 && d.type() != Discriminator.Type.NONE;
        List<Region> regions = gan
                ? data.regions(d.regions(), d.order(), d.mesh().isEmpty() ? null : Path.of(d.mesh()), d.least(), log)
                : List.of();
        graph = new StepGraph(config, subject, regions, loss, og, od, batch, compute);
        session = new Session(graph.graph(), device, vars, Session.Options.DEFAULT.sharing(arena));
        for (String n : List.of("images", "responses", "loss.weights", "gan.weight", "lr.g", "lr.d", "t.g", "t.d", "t.head"))
            if (session.hasInput(n)) in.put(n, session.input(n));
        String prefix = subject.name().isEmpty() ? "" : subject.name() + ".";
        for (String n : graph.graph().outputs().keySet()) {
            if (n.startsWith("updated")) continue;
            Storage s = session.output(n);
            outputs.add(s);
            if (n.startsWith("d.") || n.equals("g.loss")) for (Region r : graph.regions()) names.add(prefix + n + "." + r.name());
            else names.add(prefix + n);
        }
        sums = new double[names.size()];
        norm = session.output("norm.g");
        normD = gan ? session.output("norm.d") : null;
        total = session.output("loss");
    }

    /** Batches of steps [first, last) of this subject. */
    BatchLoader loader(int batch, long seed, long first, long last) {
        return new BatchLoader(device, data, training, shufflePairs, imageBytes, batch, seed, first, last);
    }

    void begin(int batch, long seed, int epochs) {
        loader = loader(batch, seed, step, perEpoch * epochs);
    }

    void end() {
        if (loader != null) loader.close();
        loader = null;
    }

    /** @param update number of the backbone's update; @param at the step of the whole run, of {@code per} an epoch */
    void feed(BatchLoader.Batch b, LossConfig loss, double rate, double rateD, long update, long at, long per) {
        in.get("images").write(b.images);
        in.get("responses").write(b.responses);
        in.get("loss.weights").set(0, loss.pixelTerm().at(at, per));
        in.get("loss.weights").set(1, loss.correlationTerm().at(at, per));
        in.get("lr.g").set(0, rate);
        in.get("t.g").set(0, update);
        if (in.get("t.head") != null) in.get("t.head").set(0, applied + 1);
        if (normD == null) return;
        in.get("gan.weight").set(0, loss.ganTerm().at(at, per));
        in.get("lr.d").set(0, rateD);
        in.get("t.d").set(0, appliedD + 1);
    }

    /** Whether the generator's gradients of the step that has run were finite, so that it was updated. */
    boolean generatorMoved() {
        return Double.isFinite(norm.get(0));
    }

    /** Takes the losses of the step that has run; says whether the discriminators were updated, if there are any. */
    boolean count(boolean generatorMoved) {
        step++;
        if (generatorMoved) applied++;
        boolean d = normD == null || Double.isFinite(normD.get(0));
        if (normD != null && d) appliedD++;
        int at = 0;
        for (int k = 0; k < outputs.size(); k++) {
            Storage s = outputs.get(k);
            int n = (int) s.type().shape().elements();
            for (int i = 0; i < n; i++) sums[at++] += s.get(i);
        }
        return d;
    }

    /** Total loss of the step that has run. */
    double loss() {
        return total.get(0);
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
        m.put("regions", fingerprint());
        m.put("sums", Arrays.stream(sums).mapToObj(Double::toString).toList());
        return m;
    }

    void restore(Path file, Map<String, Object> state) {
        Settings s = Settings.of(file + ", state", state);
        if (s.whole("regions") != fingerprint())
            throw new InputException(
                    file.toString(), "cannot be resumed: its discriminators judge other vertices, or in another order",
                    "Resume with the ROI masks and meshes of that run, or begin a new one");
        step = s.whole("step");
        applied = s.whole("applied");
        appliedD = s.whole("applied_d");
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
        session.close();
    }
}
