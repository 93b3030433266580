// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;
import org.cortigan.op.SpectralNorm;
import org.jspecify.annotations.Nullable;

/**
 * The parameters of one network in one graph. A layer asks for a parameter by name. The first request declares the
 * parameter; later requests return its current value at that point of the step, since an optimizer replaces it.
 *
 * <p>Master weights are f32. If products compute in bf16, a weight and the bias of a linear layer also have a bf16 copy
 * named {@code name@bf16}, which the optimizer keeps up to date. Spectrally normalised weights also have the variables
 * {@code name.u}, {@code name.v} and {@code name.s} (1/sigma).
 */
public final class Weights {
    /**
     * Declaration of a parameter.
     *
     * @param copy whether products read a bf16 copy
     * @param spectral whether the weight is divided by its largest singular value
     * @param decay whether weight decay applies: true for weights, false for biases, norms and embeddings
     */
    public record Spec(String name, Shape shape, Init init, boolean copy, boolean spectral, boolean decay) {}

    /** Purpose for which the network is built. */
    public enum Use {
        /** Batch norms normalise by batch statistics and update the running statistics; dropouts drop elements. */
        TRAIN,
        /** Batch norms normalise by the running statistics; there are no dropouts. */
        PREDICT,
        /** As {@link #PREDICT}, with the moving averages of the parameters that are not frozen. */
        PREDICT_AVERAGE
    }

    /** Prefix of the name of a parameter's moving average. */
    public static final String AVERAGE = "ema/";

    /** End of the names of the states of tensors in FP8. */
    public static final String FP8_STATE = "@fp8";

    /** Names of the states of a standardisation: what is added to a channel, and by what the sum is multiplied. */
    public static final String SHIFT = "shift", SCALE = "scale";

    private static final class Net {
        final Graph graph;
        final DType compute;
        final boolean spectral;
        final Use use;
        final Map<String, Spec> specs = new LinkedHashMap<>();
        final Map<String, Spec> states = new LinkedHashMap<>();
        final Map<String, Spec> fp8States = new LinkedHashMap<>();

        @Nullable
        Fp8Layers fp8;

        int microBatch;
        Shard shard = Shard.WHOLE;

        Predicate<Spec> frozen = s -> false;
        final Map<String, Value> current = new HashMap<>();
        final Map<String, Value> measured = new LinkedHashMap<>();

        Net(Graph graph, DType compute, boolean spectral, Use use) {
            this.graph = graph;
            this.compute = compute;
            this.spectral = spectral;
            this.use = use;
        }
    }

    private final Net net;
    private final String prefix;

    private Weights(Net net, String prefix) {
        this.net = net;
        this.prefix = prefix;
    }

    /**
     * The parameters of a network that adds its nodes to {@code graph}.
     *
     * @param compute type in which products compute: f32 or bf16
     * @param prefix of every parameter's name
     * @param spectral whether the weights of linear and convolutional layers are spectrally normalised
     */
    public static Weights in(Graph graph, DType compute, String prefix, boolean spectral, Use use) {
        return new Weights(new Net(graph, compute, spectral, use), prefix);
    }

    /** The parameters of a network built for {@link Use#TRAIN}. */
    public static Weights in(Graph graph, DType compute, String prefix, boolean spectral) {
        return in(graph, compute, prefix, spectral, Use.TRAIN);
    }

    /** Whether the network is built for {@link Use#TRAIN}. */
    public boolean training() {
        return net.use == Use.TRAIN;
    }

    /** A view of the same parameters whose names begin with {@code name + "."}, after the current prefix. */
    public Weights sub(String name) {
        return new Weights(net, prefix + name + ".");
    }

    public Graph graph() {
        return net.graph;
    }

    /** Type in which products compute: f32 or bf16. */
    public DType compute() {
        return net.compute;
    }

    /** Type of the network's results: in training that in which products compute, in prediction f32. */
    public DType result() {
        return training() ? net.compute : DType.F32;
    }

    /** From now on computes the products of these linear layers in FP8. */
    public void useFp8(Fp8Layers which) {
        net.fp8 = which;
    }

    /** From now on dropouts draw the numbers of this micro-batch of the step, 0, 1, ... */
    public void useMicroBatch(int microBatch) {
        net.microBatch = microBatch;
    }

    /** From now on the graph has this part of a batch. */
    public void useShard(Shard shard) {
        net.shard = shard;
    }

    Shard shard() {
        return net.shard;
    }

    /** Name of a dropout with this prefix: those of other micro-batches have other names. */
    String dropoutSite() {
        return net.microBatch == 0 ? prefix : prefix + "@" + net.microBatch;
    }

    /** Whether the products of a linear layer from x [..., in] with the weight [out, in] are in FP8. */
    boolean inFp8(Value x, Value weight) {
        return net.fp8 != null && net.fp8.take(x, weight);
    }

    /**
     * Leaves these parameters out of {@link #trainable}: they have no gradient, no optimizer state and no moving
     * average. To be called before any is declared.
     */
    public void freeze(Predicate<Spec> parameters) {
        if (!net.specs.isEmpty()) throw new IllegalStateException("parameters have been declared already");
        net.frozen = parameters;
    }

    /** The parameters that an optimizer changes, in the order of their declaration. */
    public List<Spec> trainable() {
        return specs().stream().filter(net.frozen.negate()).toList();
    }

    /** All parameters of the network, in the order of their declaration. */
    public List<Spec> specs() {
        return List.copyOf(net.specs.values());
    }

    /** Variables that are kept but not trained, such as running statistics, in the order of their declaration. */
    public List<Spec> states() {
        return List.copyOf(net.states.values());
    }

    /** The states of tensors in FP8: training needs them, the trained network does not. */
    public List<Spec> fp8States() {
        return List.copyOf(net.fp8States.values());
    }

    /** The declarations that {@code network} makes, found by building it in a temporary graph. */
    public static Weights declaredBy(DType compute, String prefix, boolean spectral, Consumer<Weights> network) {
        Weights w = in(new Graph(), compute, prefix, spectral);
        network.accept(w);
        return w;
    }

    /**
     * Declares parameters before any layer asks for them.
     *
     * @throws IllegalArgumentException if a parameter of that name was declared differently
     */
    public void declare(List<Spec> specs) {
        for (Spec s : specs) declare(s);
    }

    private void declare(Spec s) {
        Spec old = net.specs.putIfAbsent(s.name, s);
        if (old != null && !old.equals(s))
            throw new IllegalArgumentException("parameter " + s + " was already declared as " + old);
        if (old != null) return;
        String averagePrefix = net.use == Use.PREDICT_AVERAGE && !net.frozen.test(s) ? AVERAGE : "";
        variables(net.graph, s, averagePrefix)
                .forEach((name, v) -> net.current.put(name.substring(averagePrefix.length()), v));
    }

    /** The variables of a parameter by name: the parameter, its bf16 copy, and u, v and s of spectral norm. */
    public static Map<String, Value> variables(Graph g, Spec s) {
        return variables(g, s, "");
    }

    private static Map<String, Value> variables(Graph g, Spec s, String averagePrefix) {
        Map<String, Value> m = new LinkedHashMap<>();
        int[] dims = s.shape.dims();
        m.put(averagePrefix + s.name, g.variable(averagePrefix + s.name, DType.F32, dims));
        if (s.copy) m.put(copyName(s.name), g.variable(copyName(s.name), DType.BF16, dims));
        if (s.spectral) {
            int rows = dims[0], columns = Math.toIntExact(s.shape.elements() / rows);
            m.put(s.name + ".u", g.variable(s.name + ".u", DType.F32, rows));
            m.put(s.name + ".v", g.variable(s.name + ".v", DType.F32, columns));
            m.put(s.name + ".s", g.variable(s.name + ".s", DType.F32, 1));
        }
        return m;
    }

    private static final String COPY = "@bf16";

    /** Name of a weight's bf16 copy. */
    public static String copyName(String name) {
        return name + COPY;
    }

    /** Name of the parameter or state of which a variable is the bf16 copy, or itself. */
    public static String parameterOf(String variable) {
        return variable.endsWith(COPY) ? variable.substring(0, variable.length() - COPY.length()) : variable;
    }

    /** An f32 parameter without weight decay: a bias, norm or embedding. */
    public Value vector(String name, Init init, int... dims) {
        declare(new Spec(prefix + name, Shape.of(dims), init, false, false, false));
        return current(prefix + name);
    }

    /** An f32 parameter with weight decay that no product reads directly: other ops derive the operand from it. */
    public Value matrix(String name, Init init, int... dims) {
        declare(new Spec(prefix + name, Shape.of(dims), init, false, false, true));
        return current(prefix + name);
    }

    /** An f32 variable that is kept from step to step but not trained. It has no moving average. */
    public Value state(String name, Init init, int... dims) {
        Spec s = new Spec(prefix + name, Shape.of(dims), init, false, false, false);
        if (net.states.putIfAbsent(s.name, s) == null)
            net.current.put(s.name, net.graph.variable(s.name, DType.F32, dims));
        return current(s.name);
    }

    /**
     * Asks for the mean and the reciprocal standard deviation of each channel of x [..., C] over the training images.
     * Whoever trains the network measures them before the first step.
     *
     * @return the states {@code shift} [C], the means' negatives, and {@code scale} [C]; 0 and 1 before they are
     *     measured
     */
    Value[] statistics(Value x) {
        net.measured.put(prefix, x); // Again for each subject that the network is built for.
        return new Value[] {state(SHIFT, Init.ZEROS, x.dim(-1)), state(SCALE, Init.ONES, x.dim(-1))};
    }

    /**
     * The values whose statistics the network asks for, in the order in which they are computed, by the prefix of the
     * states {@link #SHIFT} and {@link #SCALE}.
     */
    public Map<String, Value> measured() {
        return Collections.unmodifiableMap(net.measured);
    }

    /**
     * The FP8 states of a linear layer, named like its weight and bias. Their first scales suit the first step, before
     * any magnitude is known: activations of layer norms are near 1, initial weights below 3.5, and gradients, which
     * are means over vertices and photographs, between 1e-9 and 3.5.
     *
     * @param name of the weight
     */
    Ops.Fp8States fp8States(String name) {
        return new Ops.Fp8States(fp8State(name, ".input", 0), fp8State(name, "", 7), fp8State(name, ".gradient", 14));
    }

    private Value fp8State(String weight, String tensor, int exponent) {
        String full = prefix + weight + tensor + FP8_STATE;
        int[] dims = Ops.fp8State().shape().dims();
        Spec s = new Spec(full, Shape.of(dims), new Init(Init.Kind.FP8_STATE, exponent), false, false, false);
        net.fp8States.putIfAbsent(full, s);
        return net.graph.variable(full, DType.F32, dims);
    }

    /** Makes {@code v} the current value of the state {@code name} below this prefix. */
    public void replaceState(String name, Value v) {
        replace(prefix + name, v);
    }

    /** A token or other small parameter in the compute type, without weight decay. */
    public Value token(String name, Init init, int... dims) {
        boolean copy = net.compute == DType.BF16;
        declare(new Spec(prefix + name, Shape.of(dims), init, copy, false, false));
        return current(copy ? copyName(prefix + name) : prefix + name);
    }

    /**
     * The bias of a linear layer.
     *
     * @param value f32 [out]
     * @param copy the same rounded to bf16, or null unless products compute in bf16
     */
    public record Bias(Value value, @Nullable Value copy) {
        /** Consecutive parts of the given extents. */
        List<Bias> split(int... extents) {
            List<Value> values = Ops.split(value, extents);
            List<Value> copies = copy == null ? List.of() : Ops.split(copy, extents);
            List<Bias> parts = new ArrayList<>();
            for (int i = 0; i < extents.length; i++)
                parts.add(new Bias(values.get(i), copy == null ? null : copies.get(i)));
            return parts;
        }
    }

    /** The bias [n] of a linear layer, without weight decay. */
    public Bias bias(String name, Init init, int n) {
        boolean copy = net.compute == DType.BF16;
        String full = prefix + name;
        declare(new Spec(full, Shape.of(n), init, copy, false, false));
        return new Bias(current(full), copy ? current(copyName(full)) : null);
    }

    /** A weight as products read it, and its factor 1/sigma [1], which is null without spectral norm. */
    public record Weight(Value value, @Nullable Value scale) {}

    /** The weight of a linear or convolutional layer. */
    public Weight weight(String name, Init init, int... dims) {
        return weights(List.of(this), name, List.of(init), List.of(dims)).get(0);
    }

    /** The weights of the same layer in several networks; one node normalises those with spectral norm. */
    public static List<Weight> weights(List<Weights> networks, String name, List<Init> init, List<int[]> dims) {
        List<Value> used = new ArrayList<>(), normInputs = new ArrayList<>();
        for (int i = 0; i < networks.size(); i++) {
            Weights w = networks.get(i);
            boolean copy = w.net.compute == DType.BF16;
            Spec s = new Spec(w.prefix + name, Shape.of(dims.get(i)), init.get(i), copy, w.net.spectral, true);
            w.declare(s);
            used.add(w.current(copy ? copyName(s.name) : s.name));
            if (s.spectral)
                normInputs.addAll(List.of(
                        w.current(s.name),
                        w.current(s.name + ".u"),
                        w.current(s.name + ".v"),
                        w.current(s.name + ".s"),
                        used.get(i)));
        }
        if (normInputs.isEmpty())
            return used.stream().map(v -> new Weight(v, null)).toList();
        return SpectralNorm.reuse(normInputs).stream()
                .map(n -> new Weight(n.weight(), n.inverseSigma()))
                .toList();
    }

    /**
     * Current value of a variable at this point of the step.
     *
     * @throws IllegalArgumentException if no parameter or state has that name
     */
    public Value current(String variable) {
        Value v = net.current.get(variable);
        if (v == null) throw new IllegalArgumentException("the parameter '" + variable + "' has not been declared");
        return v;
    }

    /** Makes {@code v} the current value of a variable. */
    public void replace(String variable, Value v) {
        current(variable);
        net.current.put(variable, v);
    }

    /**
     * The values to differentiate with respect to, one per {@link #trainable} parameter: the bf16 copy if products read
     * it directly, else the f32 parameter. Spectral norm passes the gradient of its copy on to the f32 weight.
     */
    public List<Value> differentiable() {
        List<Value> d = new ArrayList<>();
        for (Spec s : trainable()) d.add(current(s.copy && !s.spectral ? copyName(s.name) : s.name));
        return d;
    }

    /**
     * Adds one power iteration for all spectrally normalised weights that the networks have declared; adds nothing if
     * there are none.
     */
    public static void advanceSpectralNorm(List<Weights> networks) {
        List<Value> in = new ArrayList<>();
        for (Weights w : networks)
            for (Spec s : w.normed()) {
                for (String part : List.of("", ".u", ".v", ".s")) in.add(w.current(s.name + part));
                in.add(w.current(s.name));
            }
        if (in.isEmpty()) return;
        List<Value> out = in.get(0)
                .graph()
                .apply(new SpectralNorm(SpectralNorm.Mode.ADVANCE), in)
                .outputs();
        int i = 0;
        for (Weights w : networks)
            for (Spec s : w.normed()) {
                w.replace(s.name + ".u", out.get(i + 1));
                w.replace(s.name + ".v", out.get(i + 2));
                w.replace(s.name + ".s", out.get(i + 3));
                i += 4;
            }
    }

    private List<Spec> normed() {
        return specs().stream().filter(Spec::spectral).toList();
    }
}
