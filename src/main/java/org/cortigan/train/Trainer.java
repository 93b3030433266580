package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.data.Settings;
import org.cortigan.eval.Metrics;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Value;
import org.cortigan.loss.LossConfig;
import org.cortigan.mem.Memory;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.SpectralNorm;
import org.cortigan.optim.Optimizer;
import org.cortigan.plan.Plan;
import org.cortigan.plan.PlanReport;
import org.cortigan.plan.Recompute;

/**
 * Trains a model by a recipe. Confined to the thread that made it, except {@link #requestStop()}. Equal recipe, data,
 * device and number of threads give equal bits, also across {@link #resume}.
 */
public final class Trainer implements AutoCloseable {
    /** A run ends when so many updates one after the other had gradients that were not finite. */
    private static final int MOST_SKIPPED = 20;

    private final Recipe recipe;
    private final TrainingData data;
    private final Device device;
    private final Path folder;
    private final List<TrainerListener> listeners = new ArrayList<>();
    private final ModelConfig config;
    private final LossConfig loss;
    private final Optimizer og;
    private final Optimizer od;
    private final DType compute;
    private final int epochs;
    private final int batch;
    private final long seed;
    private final int checkpointSteps;
    private final int[] training;
    private final int[] validation;
    private final long perEpoch;
    private final Variables vars;
    private final StepGraph graph;
    private final Session session;
    private final Map<String, Storage> in = new LinkedHashMap<>();
    private final String[] scalarNames;
    private final Session.Scalars scalars;
    private final double[] values;
    private final double[] sums;
    private final Recomputation recompute;
    private final boolean resident;
    private boolean uploaded;
    private long step;
    private long appliedG;
    private long appliedD;
    /** Whether the last update that is known of was left out. */
    private boolean missedG;
    private boolean missedD;
    /** The batch of a step under way whose losses have not been read, on a device with a stream. */
    private BatchLoader.Batch pending;
    private int skipped;
    private int skippedInARow;
    private double best = Double.NEGATIVE_INFINITY;
    private PretrainedVit pretrained;
    private volatile boolean stop;

    /**
     * @param folder where checkpoints go, or null to keep none
     * @throws InputException if recipe, data and device do not fit
     */
    public Trainer(Recipe recipe, TrainingData data, Device device, Path folder) {
        this.recipe = recipe;
        this.data = data;
        this.folder = folder;
        config = ModelConfig.of(recipe.section("model"), data.leftVertices(), data.rightVertices());
        loss = LossConfig.of(recipe.section("loss"));
        og = Optimizer.generator(recipe.section("optimizer"));
        od = Optimizer.discriminator(recipe.section("optimizer"));
        Settings t = recipe.section("train");
        compute = compute(recipe, device);
        this.device = precision(recipe) == Precision.TF32 ? device.tf32() : device;
        epochs = t.integer("epochs", 1);
        batch = t.integer("batch", 1);
        seed = t.whole("seed");
        checkpointSteps = t.integer("checkpoint_steps", 0);
        int[][] split = split(recipe, data.count());
        training = split[0];
        validation = split[1];
        perEpoch = BatchLoader.stepsPerEpoch(training.length, batch);
        if (perEpoch < 1)
            throw t.wrong("batch", batch + " is more than the " + training.length + " training images", "Set it lower");
        recompute = t.choice("recompute", Recomputation.class);
        resident = resident(t.choice("data_on_device", Placement.class));
        graph = steps(batch, resident);
        checkMemory();
        vars = new Variables(this.device);
        Session s = null;
        try {
            s = new Session(program(graph, recompute), this.device, vars);
            session = s;
            for (String n : List.of("images", "responses", "index.images", "index.responses", "loss.weights", "gan.weight", "lr.g", "lr.d", "t.g", "t.d"))
                if (session.hasInput(n)) in.put(n, session.input(n));
            List<String> names = new ArrayList<>();
            for (String n : graph.graph().outputs().keySet()) if (!n.startsWith("updated")) names.add(n);
            scalarNames = names.toArray(new String[0]);
            scalars = session.scalars(names);
            values = new double[names.size()];
            sums = new double[names.size()];
            initialise(t.text("init"));
        } catch (RuntimeException | Error e) {
            if (s != null) s.close();
            vars.close();
            throw e;
        }
    }

    /** Indices {training, validation} of that many photographs, in ascending order, as a recipe's seed chooses them. */
    public static int[][] split(Recipe recipe, int count) {
        Settings t = recipe.section("train");
        int[] all = BatchLoader.order(count, t.whole("seed") ^ 0x5EEDL, -1);
        int held = (int) Math.round(count * t.number("validation", 0, 0.9));
        int[][] s = {Arrays.copyOfRange(all, held, all.length), Arrays.copyOf(all, held)};
        for (int[] x : s) Arrays.sort(x);
        return s;
    }

    private enum Precision {
        FP32,
        TF32,
        BF16
    }

    private enum Recomputation {
        NONE,
        CHEAP
    }

    private enum Placement {
        AUTO,
        YES,
        NO
    }

    private static Precision precision(Recipe recipe) {
        return recipe.section("train").choice("precision", Precision.class);
    }

    /** The type of products that a recipe asks for. */
    public static DType compute(Recipe recipe, Device device) {
        Settings t = recipe.section("train");
        Precision p = precision(recipe);
        if (p == Precision.TF32 && device.tf32() == null)
            throw t.wrong("precision", "tf32 is a format of NVIDIA's cards, not of " + device.name(), "Use fp32 or bf16");
        if (p != Precision.BF16) return DType.F32;
        if (!device.supports(DType.BF16))
            throw t.wrong("precision", "bf16 needs a processor with avx512bf16", "Use fp32");
        return DType.BF16;
    }

    private StepGraph steps(int batch, boolean resident) {
        return new StepGraph(config, loss, og, od, batch, compute, resident ? training.length : 0);
    }

    private static Graph program(StepGraph g, Recomputation r) {
        return r == Recomputation.CHEAP ? Recompute.cheap(g.graph()) : g.graph();
    }

    private boolean resident(Placement p) {
        if (device.runtime() == null) {
            if (p == Placement.YES)
                throw recipe.section("train")
                        .wrong("data_on_device", device.name() + " has no memory of its own", "Use auto or no");
            return false;
        }
        return p == Placement.YES || p == Placement.AUTO && bytes(device, batch, true, recompute) <= device.runtime().freeBytes();
    }

    /** What a run takes of a device's memory: a step with its variables and inputs, and the predictor that validates. */
    private long bytes(Device on, int batch, boolean resident, Recomputation r) {
        Plan step = Session.plan(program(steps(batch, resident), r), on);
        DeviceRuntime memory = device.runtime();
        long sum = memory.blockBytes(step.report().arenaBytes()), io = 0;
        for (Map.Entry<Leaf, Value> e : step.leaves().entrySet()) {
            long n = e.getValue().shape().elements() * e.getValue().dtype().bytes();
            if (e.getKey() instanceof Leaf.Variable) sum += memory.blockBytes(n);
            else io += n + Plan.ALIGNMENT;
        }
        return sum + memory.blockBytes(io) + (validation.length == 0 ? 0 : memory.blockBytes(Predictor.bytes(config, on, batch)));
    }

    /** Says before the first step by how much the device's memory is too small, and what would fit. */
    private void checkMemory() {
        if (device.runtime() == null) return;
        long free = device.runtime().freeBytes(), need = bytes(device, batch, resident, recompute);
        if (need <= free) return;
        // Plans without a device lack the kernels' scratch memory: that of this batch is taken for all.
        Device none = new NullDevice();
        long scratch = need - bytes(none, batch, resident, recompute);
        int fits = 0;
        for (int low = 1, high = batch - 1; low <= high; ) {
            int mid = (low + high) / 2;
            if (bytes(none, mid, resident, recompute) + scratch <= free) low = (fits = mid) + 1;
            else high = mid - 1;
        }
        String remedy = fits > 0 ? "train.batch=" + fits + " is the largest that fits" : "No smaller batch fits";
        if (recompute == Recomputation.NONE)
            remedy += bytes(none, batch, resident, Recomputation.CHEAP) + scratch <= free
                    ? "; this batch fits with train.recompute=cheap"
                    : "; train.recompute=cheap is not enough for this batch";
        if (resident) remedy += "; train.data_on_device=no leaves " + (bytes(none, batch, true, recompute) - bytes(none, batch, false, recompute))
                + " bytes free";
        throw recipe.section("train").wrong(
                "batch", "a step of " + batch + " photographs needs " + need + " bytes of " + device.name() + ", " + free
                        + " are free: " + (need - free) + " short", remedy);
    }

    /** Brings the training data to the device, once. */
    private void upload() {
        if (!resident || uploaded) return;
        uploaded = true;
        int rows = Math.min(64, training.length), image = config.generator().imageBytes(), responses = 4 * config.vertices();
        try (Memory m = device.allocateHost(Math.multiplyExact((long) rows, image + responses))) {
            ByteBuffer images = m.view((long) rows * responses, (long) rows * image), values = m.view(0, (long) rows * responses);
            for (int at = 0; at < training.length; at += rows) {
                images.clear();
                values.clear();
                for (int i = at; i < Math.min(training.length, at + rows); i++) {
                    data.image(training[i], images);
                    data.responses(training[i], values);
                }
                session.input("data.images").write(images.flip(), (long) at * image);
                session.input("data.responses").write(values.flip(), (long) at * responses);
                device.runtime().synchronize();
            }
        }
    }

    private void initialise(String init) {
        Map<String, float[]> given = Map.of();
        if (!init.isEmpty()) {
            PretrainedVit p = PretrainedVit.load(Path.of(init), config.generator(), config.vertices());
            given = p.values();
            pretrained = p;
        }
        for (Weights.Spec s : specs()) {
            float[] f = given.getOrDefault(s.name(), null);
            if (f == null) f = s.init().make(s.shape(), seed, s.name());
            vars.find(s.name()).write(f);
            Storage average = vars.find(Optimizer.AVERAGE + s.name());
            if (average != null) average.write(f);
            if (s.spectral()) {
                for (String part : List.of(".u", ".v")) {
                    Storage x = vars.find(s.name() + part);
                    x.write(Init.normal(1).make(x.type().shape(), seed, s.name() + part));
                }
            }
        }
        copyToBf16();
        settleSpectralNorm();
    }

    /** What {@code train.init} gave, or null. */
    public PretrainedVit pretrained() {
        return pretrained;
    }

    /** All parameters in the step. */
    private List<Weights.Spec> specs() {
        List<Weights.Spec> all = new ArrayList<>(config.generator().specs(compute, config.vertices()));
        for (Discriminator.Part p : graph.parts()) all.addAll(config.specs(compute, p));
        return all;
    }

    private void copyToBf16() {
        for (Weights.Spec s : specs()) {
            if (!s.copy()) continue;
            vars.find(Weights.copyName(s.name())).write(vars.find(s.name()).toFloats());
        }
    }

    /** Power iterations until u and v are near the greatest singular vectors: torch makes 15 when it starts. */
    private void settleSpectralNorm() {
        Graph g = new Graph();
        List<Value> all = new ArrayList<>();
        for (Weights.Spec s : specs()) {
            if (!s.spectral()) continue;
            Map<String, Value> v = Weights.variables(g, s);
            for (String part : List.of("", ".u", ".v", ".s", "")) all.add(v.get(s.name() + part));
        }
        if (all.isEmpty()) return;
        g.output("s", g.apply(new SpectralNorm(SpectralNorm.Mode.ADVANCE), all).output(3));
        try (Session s = new Session(g, device, vars)) {
            for (int i = 0; i < 15; i++) s.run();
        }
    }

    public void addListener(TrainerListener l) {
        listeners.add(l);
    }

    public ModelConfig config() {
        return config;
    }

    /** Numbers that are trained: generator, then all discriminators. */
    public long[] parameters() {
        long d = 0;
        for (Discriminator.Part p : graph.parts()) d += ModelConfig.count(config.specs(compute, p));
        return new long[] {ModelConfig.count(config.generator().specs(compute, config.vertices())), d};
    }

    /** Memory of a step. */
    public PlanReport plan() {
        return session.plan().report();
    }

    /** The session of a step, for a profile. */
    public Session session() {
        return session;
    }

    /** Puts the first batch into the session's inputs without training on it; for a profile. */
    public void fillInputs() {
        upload();
        try (BatchLoader l = new BatchLoader(
                device, data, training, resident, false, config.generator().imageBytes(), batch, seed, step, step + 1)) {
            BatchLoader.Batch b = l.next();
            feed(b);
            if (device.runtime() != null) device.runtime().synchronize(); // before the loader frees what is being copied
        }
    }

    /** Indices of the photographs that are trained on. */
    public int[] trainingImages() {
        return training.clone();
    }

    /** Indices of the photographs held out for validation. */
    public int[] validationImages() {
        return validation.clone();
    }

    public long stepsPerEpoch() {
        return perEpoch;
    }

    /** Steps of the whole run. */
    public long steps() {
        return perEpoch * epochs;
    }

    /** Steps done. */
    public long step() {
        return step;
    }

    /** Goes on where a checkpoint of the same model, data and recipe ended. */
    public void resume(Path file) {
        Map<String, Object> s = Checkpoint.load(file, vars, config);
        Settings state = Settings.of(file + ", state", s);
        long per = state.whole("steps_per_epoch");
        if (per != perEpoch || state.whole("seed") != seed)
            throw new InputException(
                    file.toString(), "is of a run with " + per + " steps an epoch and seed " + state.whole("seed") + ", not "
                            + perEpoch + " and " + seed,
                    "Resume with the same data, batch, validation part and seed");
        step = state.whole("step");
        appliedG = state.whole("applied_g");
        appliedD = state.whole("applied_d");
        missedG = Boolean.TRUE.equals(s.get("missed_g"));
        missedD = Boolean.TRUE.equals(s.get("missed_d"));
        skipped = (int) state.whole("skipped");
        skippedInARow = (int) state.whole("skipped_in_a_row");
        best = Double.parseDouble(state.text("best"));
        List<?> old = (List<?>) s.get("sums");
        for (int i = 0; i < sums.length; i++) sums[i] = Double.parseDouble((String) old.get(i));
        copyToBf16();
    }

    /** Ends the run after the step under way, with a checkpoint. Any thread may call it. */
    public void requestStop() {
        stop = true;
    }

    /**
     * Trains until the last epoch ends or a stop is asked for.
     *
     * @return whether the run is complete
     * @throws InputException if gradients stay infinite or NaN
     */
    public boolean run() {
        long last = steps();
        upload();
        try (Predictor p = validation.length == 0 ? null : predictor();
                BatchLoader loader = new BatchLoader(
                        device, data, training, resident, recipe.section("train").flag("shuffle_pairs"), config.generator().imageBytes(),
                        batch, seed, step, last)) {
            try {
                loop(loader, p, last);
            } catch (RuntimeException | Error e) {
                // What is being copied to the device is about to be freed.
                pending = null;
                try {
                    session.synchronize();
                } catch (RuntimeException x) {
                    e.addSuppressed(x);
                }
                throw e;
            }
        }
        if (stop && step < last && step % perEpoch != 0) save("last.safetensors");
        return step >= last;
    }

    private void loop(BatchLoader loader, Predictor p, long last) {
        boolean late = device.runtime() != null;
        long begin = System.nanoTime(), first = step;
        while (step < last && !stop) {
            BatchLoader.Batch b = loader.next();
            feed(b);
            session.run();
            step++;
            // The losses of a step on a device are read while the next one runs, so that it has no gap between them.
            if (pending != null) count(loader, step - 1, 1);
            pending = b;
            boolean ends = step % perEpoch == 0, saves = checkpointSteps > 0 && step % checkpointSteps == 0;
            if (!late || ends || saves) count(loader, step, 0);
            if (ends) {
                double rate = (step - first) * (double) batch / ((System.nanoTime() - begin) / 1e9);
                endEpoch(p, rate);
                begin = System.nanoTime();
                first = step;
            } else if (saves) {
                save("last.safetensors");
            }
        }
        if (pending != null) count(loader, step, 0);
    }

    private int index(String scalar) {
        for (int i = 0; i < scalarNames.length; i++) if (scalarNames[i].equals(scalar)) return i;
        throw new IllegalArgumentException(scalar);
    }

    private void feed(BatchLoader.Batch b) {
        if (resident) {
            in.get("index.images").write(b.at);
            in.get("index.responses").write(b.responsesAt);
        } else {
            in.get("images").write(b.images);
            in.get("responses").write(b.responses);
        }
        in.get("loss.weights").set(0, loss.pixelTerm().at(step, perEpoch));
        in.get("loss.weights").set(1, loss.correlationTerm().at(step, perEpoch));
        in.get("lr.g").set(0, og.at(step, perEpoch, steps()));
        in.get("t.g").set(0, update(appliedG, missedG));
        if (!graph.parts().isEmpty()) {
            in.get("gan.weight").set(0, loss.ganTerm().at(step, perEpoch) / graph.parts().size());
            in.get("lr.d").set(0, od.at(step, perEpoch, steps()));
            in.get("t.d").set(0, update(appliedD, missedD));
        }
    }

    /**
     * Number of the next update, from 1 on, for the optimizer's correction of its averages. On a device with a stream it must
     * be given before it is known whether the update under way is left out; there an update counts as made until the one
     * after it has been asked for, whether it is known by then or not, so that a run that pauses gives the same bits.
     */
    private long update(long applied, boolean missed) {
        return applied + 1 + (device.runtime() != null && (pending != null || missed) ? 1 : 0);
    }

    /**
     * Takes the losses of a step that has run and gives its batch back. Allocates nothing.
     *
     * @param done number of the step, from 1 on; @param back how many runs ago it was
     */
    private void count(BatchLoader loader, long done, int back) {
        scalars.read(back, values);
        loader.done(pending);
        pending = null;
        missedG = !Double.isFinite(values[index("norm.g")]);
        if (!missedG) appliedG++;
        missedD = !graph.parts().isEmpty() && !Double.isFinite(values[index("norm.d")]);
        if (!graph.parts().isEmpty() && !missedD) appliedD++;
        if (missedG || missedD) {
            skipped++;
            skippedInARow++;
        } else {
            skippedInARow = 0;
        }
        for (int i = 0; i < sums.length; i++) sums[i] += values[i];
        if (skippedInARow >= MOST_SKIPPED)
            throw new InputException(
                    "step " + done, "the gradients of " + MOST_SKIPPED + " steps on end were infinite or NaN: the run diverged",
                    "Lower optimizer.learning_rate, set optimizer.clip_norm, or raise loss.correlation_eps");
        double total = values[index("loss")];
        for (int i = 0; i < listeners.size(); i++) listeners.get(i).step(done, steps(), total); // no iterator: nothing allocated
    }

    private void endEpoch(Predictor p, double rate) {
        Map<String, Double> means = new LinkedHashMap<>();
        for (int i = 0; i < sums.length; i++) {
            means.put(scalarNames[i], sums[i] / perEpoch);
            sums[i] = 0;
        }
        means.put("lr.g", in.get("lr.g").get(0));
        if (in.containsKey("lr.d")) means.put("lr.d", in.get("lr.d").get(0));
        double mean = Double.NaN, median = Double.NaN;
        if (p != null) {
            double[] r = validate(p).r();
            mean = Metrics.mean(r);
            median = Metrics.median(r);
        }
        EpochResult e = new EpochResult((int) (step / perEpoch), epochs, step, means, mean, median, rate, skipped);
        skipped = 0;
        // Without validation the last is the best.
        boolean better = p == null || mean > best;
        if (better) best = p == null ? Double.NEGATIVE_INFINITY : mean;
        for (TrainerListener l : listeners) l.epoch(e);
        if (better) save("best.safetensors");
        save("last.safetensors");
    }

    private Predictor predictor() {
        return new Predictor(
                config, device, vars, (og.ema() > 0 ? Optimizer.AVERAGE : "") + Generator.PREFIX, batch, false, false);
    }

    /** Predictions of the held-out photographs against their responses. */
    private PearsonAccumulator validate(Predictor p) {
        return evaluate(p, data, validation);
    }

    /** Pearson's r over the photographs listed, with a predictor for the same photographs' side. */
    public static PearsonAccumulator evaluate(Predictor p, TrainingData data, int[] images) {
        int v = data.leftVertices() + data.rightVertices(), batch = p.batch();
        PearsonAccumulator acc = new PearsonAccumulator(v);
        float[] predicted = new float[Math.multiplyExact(batch, v)], target = new float[batch * v];
        ByteBuffer row = ByteBuffer.allocate(4 * v).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at < images.length; at += batch) {
            int n = Math.min(batch, images.length - at);
            ByteBuffer x = p.imageBytesOfBatch();
            for (int k = 0; k < n; k++) {
                data.image(images[at + k], x);
                row.clear();
                data.responses(images[at + k], row);
                row.flip();
                row.asFloatBuffer().get(target, k * v, v);
            }
            p.run();
            p.read(predicted, 0, n);
            acc.add(predicted, target, n);
        }
        return acc;
    }

    private void save(String name) {
        if (folder == null) return;
        Map<String, Object> state = new LinkedHashMap<>();
        state.put("step", step);
        state.put("steps_per_epoch", perEpoch);
        state.put("seed", seed);
        state.put("applied_g", appliedG);
        state.put("applied_d", appliedD);
        if (missedG) state.put("missed_g", true);
        if (missedD) state.put("missed_d", true);
        state.put("skipped", skipped);
        state.put("skipped_in_a_row", skippedInARow);
        state.put("best", Double.toString(best));
        List<String> s = new ArrayList<>();
        for (double x : sums) s.add(Double.toString(x));
        state.put("sums", s);
        Path file = folder.resolve(name);
        Checkpoint.save(file, vars, config, recipe, state);
        for (TrainerListener l : listeners) l.checkpoint(file);
    }

    /** Makes the generator's head so small that it predicts nearly the same for all photographs; for tests. */
    void flatten() {
        for (String n : List.of("head.weight", "head.bias")) {
            Storage s = vars.find(Generator.PREFIX + n);
            for (int i = 0; i < s.type().shape().elements(); i++) s.set(i, 1e-6 * s.get(i));
        }
    }

    /** A parameter's or state's present contents by its name in checkpoints. */
    public float[] variable(String name) {
        Storage s = vars.find(name);
        if (s == null) throw new IllegalArgumentException("no variable '" + name + "'");
        return s.toFloats();
    }

    /** Names of all parameters and states. */
    public List<String> variables() {
        return List.copyOf(vars.types().keySet());
    }

    @Override
    public void close() {
        session.close();
        vars.close();
    }
}
