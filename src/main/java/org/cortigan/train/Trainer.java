// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;
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
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.SpectralNorm;
import org.cortigan.optim.Optimizer;
import org.cortigan.plan.Plan;
import org.cortigan.plan.PlanReport;

/**
 * Trains a model by a recipe, on one subject's data or on several subjects' with a shared backbone: then every step is
 * a batch of one subject, and an epoch goes through all batches of all subjects in random order. Confined to the thread
 * that made it, except {@link #requestStop()}. Equal recipe, data, device and number of threads give equal bits, also
 * across {@link #resume}.
 */
public final class Trainer implements AutoCloseable {
    /** A run ends when so many updates one after the other had gradients that were not finite. */
    private static final int MOST_SKIPPED = 20;

    private final Recipe recipe;
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
    private final long perEpoch;
    private final Variables vars;
    private final List<SubjectSteps> subjects = new ArrayList<>();
    private final Recomputation recompute;
    private final boolean resident;
    private long step;
    private long applied;
    /** Whether the last update of the generator that is known of was left out. */
    private boolean missed;
    /** Whose step is under way, its losses not read yet, on a device with a stream. */
    private SubjectSteps pending;

    private int skipped;
    private int skippedInARow;
    private double best = Double.NEGATIVE_INFINITY;
    private PretrainedVit pretrained;
    private int[] schedule;
    private long scheduled = -1;
    private volatile boolean stop;

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
        List<ModelConfig.Subject> who = new ArrayList<>();
        sets.forEach((name, d) -> who.add(new ModelConfig.Subject(name, d.leftVertices(), d.rightVertices())));
        config = ModelConfig.of(recipe.section("model"), who);
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
        recompute = t.choice("recompute", Recomputation.class);
        for (ModelConfig.Subject w : who)
            subjects.add(new SubjectSteps(recipe, config, w, sets.get(w.name()), loss, og, od, compute, log));
        perEpoch = subjects.stream().mapToLong(s -> s.perEpoch).sum();
        resident = resident(t.choice("data_on_device", Placement.class));
        checkMemory();
        vars = new Variables(this.device);
        try {
            // The largest first: the others find room in its arena.
            List<SubjectSteps> bySize = new ArrayList<>(subjects);
            bySize.sort((a, b) -> Integer.compare(b.subject.vertices(), a.subject.vertices()));
            for (SubjectSteps s : bySize)
                s.open(this.device, vars, batch, resident, recompute == Recomputation.CHEAP, bySize.get(0).session);
            initialise(t.text("init"));
        } catch (RuntimeException | Error e) {
            close();
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

    /** Whether two recipes hold out the same photographs. */
    static boolean sameSplit(Recipe a, Recipe b) {
        Settings s = a.section("train"), t = b.section("train");
        return s.whole("seed") == t.whole("seed") && s.number("validation", 0, 0.9) == t.number("validation", 0, 0.9);
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
            throw t.wrong(
                    "precision", "tf32 is a format of NVIDIA's cards, not of " + device.name(), "Use fp32 or bf16");
        if (p != Precision.BF16) return DType.F32;
        if (!device.supports(DType.BF16))
            throw t.wrong("precision", "bf16 needs a processor with avx512bf16", "Use fp32");
        return DType.BF16;
    }

    private boolean resident(Placement p) {
        if (device.runtime() == null) {
            if (p == Placement.YES)
                throw recipe.section("train")
                        .wrong("data_on_device", device.name() + " has no memory of its own", "Use auto or no");
            return false;
        }
        return p == Placement.YES
                || p == Placement.AUTO
                        && bytes(device, batch, true, recompute)
                                <= device.runtime().freeBytes();
    }

    /**
     * What a run takes of a device's memory: a step with its variables and inputs, and the predictors that validate.
     * Several subjects have one arena and share the backbone's variables.
     */
    private long bytes(Device on, int batch, boolean resident, Recomputation r) {
        DeviceRuntime memory = device.runtime();
        long arena = 0, sum = 0;
        Set<String> seen = new HashSet<>();
        for (SubjectSteps p : subjects) {
            Plan step = Session.plan(p.program(batch, resident, r == Recomputation.CHEAP), on);
            for (Map.Entry<Leaf, Value> e : step.leaves().entrySet()) {
                String id = e.getKey().id();
                // subjects share variables; what is sent ahead has room of its own beside the inputs
                if (e.getKey() instanceof Leaf.Variable ? seen.add(id) : SubjectSteps.BATCH.contains(id))
                    sum += memory.blockBytes(e.getValue().shape().elements()
                            * e.getValue().dtype().bytes());
            }
            sum += memory.blockBytes(Session.inputBytes(step, on));
            if (p.validation.length > 0)
                for (long n : Predictor.blocks(config, p.subject, on, batch)) sum += memory.blockBytes(n);
            arena = Math.max(arena, memory.blockBytes(step.report().arenaBytes()));
        }
        return arena + sum;
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
        long data = resident ? bytes(none, batch, true, recompute) - bytes(none, batch, false, recompute) : 0;
        if (data > 0) remedy += "; train.data_on_device=no leaves " + data + " bytes free";
        throw recipe.section("train")
                .wrong(
                        "batch",
                        "a step of " + batch + " photographs needs " + need + " bytes of " + device.name() + ", " + free
                                + " are free: " + (need - free) + " short",
                        remedy);
    }

    private void initialise(String init) {
        Map<String, float[]> given = Map.of();
        if (!init.isEmpty()) {
            PretrainedVit p = PretrainedVit.load(Path.of(init), config);
            given = p.values();
            pretrained = p;
        }
        for (Weights.Spec s : specs()) {
            float[] f = given.getOrDefault(s.name(), null);
            if (f == null) f = s.init().make(s.shape(), seed, s.name());
            vars.find(s.name()).write(f);
            Storage average = vars.find(Weights.AVERAGE + s.name());
            if (average != null) average.write(f);
            if (s.spectral()) {
                for (String part : List.of(".u", ".v")) {
                    Storage x = vars.find(s.name() + part);
                    x.write(Init.normal(1).make(x.type().shape(), seed, s.name() + part));
                }
            }
        }
        for (SubjectSteps p : subjects)
            for (Weights.Spec s : p.graph.states())
                vars.find(s.name()).write(s.init().make(s.shape(), seed, s.name()));
        copyToBf16();
        settleSpectralNorm();
    }

    /** What {@code train.init} gave, or null. */
    public PretrainedVit pretrained() {
        return pretrained;
    }

    /** All parameters, each once. */
    private List<Weights.Spec> specs() {
        Map<String, Weights.Spec> all = new LinkedHashMap<>();
        for (SubjectSteps p : subjects) p.graph.generatorSpecs().forEach(s -> all.put(s.name(), s));
        for (SubjectSteps p : subjects) p.graph.discriminatorSpecs().forEach(s -> all.put(s.name(), s));
        return List.copyOf(all.values());
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

    /** Names of the regions that are judged, the first subject's where there are several. */
    public List<String> regions() {
        return subjects.get(0).graph.regions().stream().map(r -> r.name()).toList();
    }

    /** Numbers that are trained: generator, then all discriminators. */
    public long[] parameters() {
        List<Weights.Spec> d = new ArrayList<>();
        for (SubjectSteps p : subjects) d.addAll(p.graph.discriminatorSpecs());
        long of = ModelConfig.count(d);
        return new long[] {ModelConfig.count(specs()) - of, of};
    }

    /** Memory of a step, of the largest subject's where there are several. */
    public PlanReport plan() {
        return session().plan().report();
    }

    /** The session of a step, for a profile; of the subject with the most vertices. */
    public Session session() {
        SubjectSteps most = subjects.get(0);
        for (SubjectSteps p : subjects) if (p.subject.vertices() > most.subject.vertices()) most = p;
        return most.session;
    }

    /** Puts the first batch into the session's inputs without training on it; for a profile. */
    public void fillInputs() {
        for (SubjectSteps p : subjects) {
            p.upload();
            try (BatchLoader l = p.loader(batch, seed, 0, 1)) {
                feed(p, l.next());
                if (device.runtime() != null)
                    device.runtime().synchronize(); // before the loader frees what is being copied
            }
        }
    }

    /** Indices of the photographs that are trained on, of the first subject. */
    public int[] trainingImages() {
        return subjects.get(0).training.clone();
    }

    /** Indices of the photographs held out for validation, of the first subject. */
    public int[] validationImages() {
        return subjects.get(0).validation.clone();
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

    /** Whose turn a step is: an epoch has each subject as often as it has batches, in an order of its own. */
    private SubjectSteps turn(long step) {
        if (subjects.size() == 1) return subjects.get(0);
        if (step / perEpoch != scheduled) {
            scheduled = step / perEpoch;
            schedule = new int[(int) perEpoch];
            int at = 0;
            for (int i = 0; i < subjects.size(); i++)
                for (long k = 0; k < subjects.get(i).perEpoch; k++) schedule[at++] = i;
            BatchLoader.shuffle(schedule, new SplittableRandom(~seed * 0x9E3779B97F4A7C15L + scheduled));
        }
        return subjects.get(schedule[(int) (step % perEpoch)]);
    }

    /** Goes on where a checkpoint of the same model, data and recipe ended. */
    public void resume(Path file) {
        Map<String, Object> s = Checkpoint.load(file, vars, config);
        Settings state = Settings.of(file + ", state", s);
        long per = state.whole("steps_per_epoch");
        if (per != perEpoch || state.whole("seed") != seed)
            throw new InputException(
                    file.toString(),
                    "is of a run with " + per + " steps an epoch and seed " + state.whole("seed") + ", not " + perEpoch
                            + " and " + seed,
                    "Resume with the same data, batch, validation part and seed");
        List<?> of = (List<?>) s.get("subjects");
        for (int i = 0; i < subjects.size(); i++)
            subjects.get(i).restore(file, org.cortigan.data.Json.object(of.get(i), file + ", state"));
        step = state.whole("step");
        applied = state.whole("applied_g");
        missed = Boolean.TRUE.equals(s.get("missed_g"));
        skipped = (int) state.whole("skipped");
        skippedInARow = (int) state.whole("skipped_in_a_row");
        best = Double.parseDouble(state.text("best"));
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
        try {
            for (SubjectSteps p : subjects) p.begin(vars, batch, seed, epochs);
            loop(last);
        } catch (RuntimeException | Error e) {
            // What is being copied to the device is about to be freed.
            pending = null;
            for (SubjectSteps p : subjects)
                try {
                    p.session.synchronize();
                } catch (RuntimeException x) {
                    e.addSuppressed(x);
                }
            throw e;
        } finally {
            for (SubjectSteps p : subjects) p.end();
        }
        if (stop && step < last && step % perEpoch != 0) save("last.safetensors");
        return step >= last;
    }

    private void loop(long last) {
        boolean late = device.runtime() != null;
        long begin = System.nanoTime(), first = step;
        while (step < last && !stop) {
            SubjectSteps p = turn(step);
            BatchLoader.Batch b = p.loader.next();
            feed(p, b);
            p.session.run();
            step++;
            // The losses of a step on a device are read while the next one runs, so that it has no gap between them.
            if (pending != null) count(step - 1, pending == p ? 1 : 0);
            pending = p;
            p.under(b);
            boolean ends = step % perEpoch == 0, saves = checkpointSteps > 0 && step % checkpointSteps == 0;
            if (!late || ends || saves) count(step, 0);
            if (ends) {
                double rate = (step - first) * (double) batch / ((System.nanoTime() - begin) / 1e9);
                endEpoch(rate);
                begin = System.nanoTime();
                first = step;
            } else if (saves) {
                save("last.safetensors");
            }
        }
        if (pending != null) count(step, 0);
    }

    private void feed(SubjectSteps p, BatchLoader.Batch b) {
        long update = SubjectSteps.update(applied, device.runtime() != null && (pending != null || missed));
        p.feed(
                b,
                loss,
                og.at(step, perEpoch, steps()),
                od.at(step, perEpoch, steps()),
                update,
                pending == p,
                step,
                perEpoch);
    }

    /**
     * Takes the losses of the step under way, which has run, and gives its batch back. Allocates nothing.
     *
     * @param done number of the step, from 1 on; @param back how many runs of its session ago it was
     */
    private void count(long done, int back) {
        SubjectSteps p = pending;
        pending = null;
        boolean ok = p.count(back);
        missed = !p.generatorMoved();
        if (!missed) applied++;
        if (!ok) {
            skipped++;
            skippedInARow++;
        } else {
            skippedInARow = 0;
        }
        if (skippedInARow >= MOST_SKIPPED)
            throw new InputException(
                    "step " + done,
                    "the gradients of " + MOST_SKIPPED + " steps on end were infinite or NaN: the run diverged",
                    "Lower optimizer.learning_rate, set optimizer.clip_norm, or raise loss.correlation_eps");
        double total = p.loss();
        for (int i = 0; i < listeners.size(); i++)
            listeners.get(i).step(done, steps(), total); // no iterator: nothing allocated
    }

    private void endEpoch(double rate) {
        Map<String, Double> means = new LinkedHashMap<>();
        for (SubjectSteps p : subjects) p.means(means);
        means.put("lr.g", og.at(step - 1, perEpoch, steps()));
        if (!subjects.get(0).graph.regions().isEmpty()) means.put("lr.d", od.at(step - 1, perEpoch, steps()));
        double mean = 0, median = 0;
        for (SubjectSteps p : subjects) {
            if (p.validation.length == 0) {
                mean = median = Double.NaN;
                continue;
            }
            double[] r = evaluate(p.predictor, p.data, p.validation).r();
            if (subjects.size() > 1) means.put("validation_mean_r." + p.subject.name(), Metrics.mean(r));
            mean += Metrics.mean(r) / subjects.size();
            median += Metrics.median(r) / subjects.size();
        }
        EpochResult e = new EpochResult((int) (step / perEpoch), epochs, step, means, mean, median, rate, skipped);
        skipped = 0;
        // Without validation the last is the best.
        boolean none = Double.isNaN(mean), better = none || mean > best;
        if (better) best = none ? Double.NEGATIVE_INFINITY : mean;
        for (TrainerListener l : listeners) l.epoch(e);
        if (better) save("best.safetensors");
        save("last.safetensors");
    }

    /** Pearson's r over the photographs listed, with a predictor for the same photographs' side. */
    public static PearsonAccumulator evaluate(Predictor p, TrainingData data, int[] images) {
        return new Ensemble(List.of(p)).evaluate(side -> data, images);
    }

    private void save(String name) {
        if (folder == null) return;
        Map<String, Object> state = new LinkedHashMap<>();
        state.put("step", step);
        state.put("steps_per_epoch", perEpoch);
        state.put("seed", seed);
        state.put("applied_g", applied);
        if (missed) state.put("missed_g", true);
        state.put("skipped", skipped);
        state.put("skipped_in_a_row", skippedInARow);
        state.put("best", Double.toString(best));
        state.put("subjects", subjects.stream().map(SubjectSteps::state).toList());
        Path file = folder.resolve(name);
        Checkpoint.save(file, vars, config, recipe, state);
        for (TrainerListener l : listeners) l.checkpoint(file);
    }

    /** Makes the generator's head so small that it predicts nearly the same for all photographs; for tests. */
    void flatten() {
        for (String n : List.of("head.weight", "head.bias")) {
            Storage s = vars.find(org.cortigan.model.Generator.PREFIX + n);
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
        return vars.types().keySet().stream()
                .filter(v -> !v.equals(Predictor.MOMENTS))
                .toList();
    }

    @Override
    public void close() {
        for (int i = subjects.size() - 1; i >= 0; i--) subjects.get(i).close();
        vars.close();
    }
}
