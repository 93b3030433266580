// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.IntConsumer;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.Arena;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.InputBuffer;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.TensorMemory;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonMoments;
import org.cortigan.plan.Plan;
import org.jspecify.annotations.Nullable;

/**
 * The generator alone, ready to run on batches of photographs. A predictor is confined to the thread that created it;
 * each thread creates its own from the shared {@link Model}. A prediction allocates nothing.
 */
public final class Predictor implements AutoCloseable {
    /** What a predictor computes. */
    public enum Form {
        RESPONSES,
        /** Responses in the units of the measurements, which the device computes: for programs that read its memory. */
        MEASURED,
        /** The features that the readout sees. */
        FEATURES,
        /** The attention of a readout's region queries, see {@link Predictor#attention}. */
        ATTENTION,
        /**
         * Responses, and the moments for their correlation with targets over many batches, accumulated on the device.
         */
        EVALUATION
    }

    /** Name of the variable of an evaluation's moments. */
    private static final String MOMENTS = "evaluation.moments";

    /** Names of the inputs of an evaluation. */
    private static final String TARGETS = "targets", ROWS = "rows";

    private static final IntConsumer IGNORED = k -> {};

    /** Inputs of an evaluation. */
    private record Evaluation(Storage rows, InputBuffer targets) {}

    private final ModelConfig config;
    private final ModelConfig.Subject subject;
    private final ResponseScaling scaling;
    private final int batch;
    private final Form form;
    /** How the predictions are made; "" for one way, in f32. */
    private final String prediction;

    /** What {@link #close} does, the last first. */
    private final Deque<Runnable> closers = new ArrayDeque<>();
    /** Null unless predictions are means of samples. */
    private final @Nullable Sampler sampler;

    private final Session session;
    /** Name of the input that has something of every photograph. */
    private final String photographs;

    private final InputBuffer images;
    private final int imageBytes;
    private final ByteBuffer pixels;
    private final Storage output;
    /** Null unless the predictor evaluates. */
    private final @Nullable Evaluation evaluation;

    /** A predictor of photographs, in f32. */
    public Predictor(
            ModelConfig config,
            ModelConfig.Subject subject,
            Device device,
            Variables variables,
            Weights.Use use,
            int batch,
            boolean own,
            Form form,
            ResponseScaling scaling) {
        this(config, subject, device, variables, use, batch, own, form, scaling, g -> g);
    }

    /**
     * A predictor of photographs, or of something else that stands for them, in f32.
     *
     * @param subject subject whose responses are predicted
     * @param variables storage of the parameters
     * @param use {@code PREDICT}, or {@code PREDICT_AVERAGE} for the moving averages of those that have one: frozen
     *     ones have none
     * @param own whether {@link #close} closes the variables
     * @param scaling how the responses that the network learned relate to the measured ones
     * @param program the graph to run instead of the whole one. It may take something else of each photograph: then its
     *     first input, [batch, ...], stands for the photographs
     */
    public Predictor(
            ModelConfig config,
            ModelConfig.Subject subject,
            Device device,
            Variables variables,
            Weights.Use use,
            int batch,
            boolean own,
            Form form,
            ResponseScaling scaling,
            UnaryOperator<Graph> program) {
        this(config, subject, device, variables, use, batch, own, form, scaling, program, Precision.FP32);
    }

    /**
     * @param device with products in the precision
     * @param variables with those of {@link #variables}
     */
    Predictor(
            ModelConfig config,
            ModelConfig.Subject subject,
            Device device,
            Variables variables,
            Weights.Use use,
            int batch,
            boolean own,
            Form form,
            ResponseScaling scaling,
            UnaryOperator<Graph> program,
            Precision precision) {
        if (batch < 1) throw new IllegalArgumentException("batch " + batch + " must be at least 1");
        this.config = config;
        this.subject = subject;
        this.scaling = scaling;
        this.form = form;
        this.batch = batch;
        prediction = Stream.of(config.generator().prediction(), products(precision))
                .filter(text -> !text.isEmpty())
                .collect(Collectors.joining(", "));
        if (own) closers.push(variables::close);
        try {
            Variables all = opened(variables.extended(), Variables::close);
            Arena arena = opened(new Arena(device), Arena::close);
            Programs programs = Programs.of(
                    config,
                    subject,
                    precision.compute(),
                    use,
                    batch,
                    form,
                    scaling,
                    p -> !variables.has(Weights.AVERAGE + p.name()),
                    program);
            sampler = programs.sampled
                    .map(p -> opened(new Sampler(p.denoiser, p.graphs, all, arena), Sampler::close))
                    .orElse(null);
            session = opened(new Session(programs.last, device, all, arena), Session::close);
            photographs = perPhotograph(programs.first());
            Storage input = sampler == null ? session.input(photographs) : sampler.input(photographs);
            images = opened(input.inputBuffer(), InputBuffer::close);
            imageBytes = images.contents().capacity() / batch;
            output = session.output("y");
            evaluation = evaluates(form)
                    ? new Evaluation(
                            session.input(ROWS), opened(session.input(TARGETS).inputBuffer(), InputBuffer::close))
                    : null;
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
        pixels = images.contents();
    }

    /** What stands beside every correlation of predictions in another precision than fp32. */
    private static String products(Precision precision) {
        return precision == Precision.FP32
                ? ""
                : "products in " + precision.name().toLowerCase(Locale.ROOT);
    }

    private <T> T opened(T resource, Consumer<T> close) {
        closers.push(() -> close.accept(resource));
        return resource;
    }

    /** Name of the input that has something of every photograph. */
    private static String perPhotograph(Graph g) {
        return g.nodes().stream()
                .filter(n -> n.op() instanceof Leaf.Input)
                .map(n -> ((Leaf.Input) n.op()).id())
                .filter(id -> !id.equals(TARGETS) && !id.equals(ROWS))
                .findFirst()
                .orElseThrow();
    }

    private static boolean evaluates(Form f) {
        return f == Form.EVALUATION;
    }

    /**
     * The graphs of a predictor.
     *
     * @param sampled those that run before the last one; empty unless predictions are means of samples
     * @param last gives the output "y", and of an evaluation the moments
     */
    record Programs(Optional<Sampled> sampled, Graph last) {
        /** What draws samples. */
        record Sampled(Denoiser denoiser, Sampler.Graphs graphs) {}

        static Programs of(
                ModelConfig config,
                ModelConfig.Subject subject,
                DType compute,
                Weights.Use use,
                int batch,
                Form form,
                ResponseScaling scaling,
                Predicate<Weights.Spec> frozen,
                UnaryOperator<Graph> program) {
            Function<Graph, Weights> weights = g -> {
                Weights w = Weights.in(g, compute, Generator.PREFIX, false, use);
                w.freeze(frozen);
                return w;
            };
            Graph last = new Graph();
            Optional<Denoiser> denoiser = form == Form.RESPONSES || form == Form.MEASURED || evaluates(form)
                    ? config.generator().sampled(subject.name(), subject.vertices())
                    : Optional.empty();
            Value y = denoiser.isPresent()
                    ? Sampler.mean(last, batch, subject.vertices())
                    : build(weights.apply(last), config, subject, form, batch);
            Value result = Ops.cast(y, DType.F32);
            last.output("y", form == Form.MEASURED ? scaling.measured(result) : result);
            if (evaluates(form)) correlate(y);
            if (denoiser.isEmpty()) return new Programs(Optional.empty(), program.apply(last));
            Sampler.Graphs graphs = Sampler.Graphs.of(
                    denoiser.get(), weights, g -> config.generator().images(g, batch), program, batch);
            return new Programs(Optional.of(new Sampled(denoiser.get(), graphs)), last);
        }

        /** The graph that reads the photographs. */
        Graph first() {
            return sampled.map(s -> s.graphs.context()).orElse(last);
        }
    }

    /** Adds the moments of predictions [B, V] and targets to their graph. */
    private static void correlate(Value y) {
        Graph g = y.graph();
        int v = y.dim(1);
        g.output(
                "moments",
                g.apply(
                                new PearsonMoments(),
                                y,
                                g.input(TARGETS, DType.F32, y.dim(0), v),
                                g.input(ROWS, DType.I32, 2),
                                g.variable(MOMENTS, DType.F64, PearsonMoments.ROWS, v))
                        .output(0));
    }

    private static Value build(Weights w, ModelConfig config, ModelConfig.Subject subject, Form form, int batch) {
        Generator g = config.generator();
        Value x = g.images(w.graph(), batch);
        return switch (form) {
            case RESPONSES, MEASURED, EVALUATION -> g.responses(w, x, subject.name(), subject.vertices());
            case FEATURES -> g.features(w, x, subject.name());
            case ATTENTION -> attention(w, config, subject, x).value();
        };
    }

    private static AttentionScores attention(Weights w, ModelConfig config, ModelConfig.Subject subject, Value images) {
        return config.generator()
                .attention(w, images, subject.name())
                .orElseThrow(() -> new InputException(
                        "attention",
                        "the model's readout has no queries that attend",
                        "Give a model with model.generator.readout: queries"));
    }

    /** Names of the readout's queries, in the order of their attention maps; none if the readout has no queries. */
    public List<String> queries() {
        return config.generator().queries().map(Queries::names).orElse(List.of());
    }

    /** How the numbers of a predictor of {@link Form#ATTENTION} become maps. */
    public AttentionScores attention() {
        Weights w = Weights.in(new Graph(), DType.F32, Generator.PREFIX, false, Weights.Use.PREDICT);
        return attention(w, config, subject, config.generator().images(w.graph(), batch));
    }

    /**
     * The variables that a prediction reads, with their types: states, and parameters or their bf16 copies; of some
     * biases both.
     */
    static Map<String, Type> variables(ModelConfig config, ModelConfig.Subject subject, Form form, DType compute) {
        Weights w = Weights.in(new Graph(), compute, Generator.PREFIX, false, Weights.Use.PREDICT);
        build(w, config, subject, form, 2);
        Map<String, Type> read = new LinkedHashMap<>();
        for (Node n : w.graph().nodes())
            for (Value v : n.inputs()) if (v.node().op() instanceof Leaf.Variable x) read.put(x.id(), v.type());
        return read;
    }

    /** The subject whose responses are predicted. */
    public ModelConfig.Subject subject() {
        return subject;
    }

    /** How the responses of {@link #read} and {@link #targetsOfBatch} relate to measured ones. */
    public ResponseScaling scaling() {
        return scaling;
    }

    /** Bytes of each block of device memory that an evaluating predictor in f32 needs besides the parameters. */
    public static long[] blocks(
            ModelConfig config, ModelConfig.Subject subject, Device device, int batch, UnaryOperator<Graph> program) {
        Programs programs = Programs.of(
                config,
                subject,
                DType.F32,
                Weights.Use.PREDICT,
                batch,
                Form.EVALUATION,
                ResponseScaling.identity(subject.vertices()),
                s -> false,
                program);
        List<Graph> graphs = new ArrayList<>();
        List<Long> blocks = new ArrayList<>();
        programs.sampled.ifPresent(s -> {
            graphs.addAll(s.graphs.all());
            s.graphs.variables().forEach(n -> blocks.add(n * DType.F32.bytes()));
        });
        graphs.add(programs.last);
        long arena = 0;
        for (Graph g : graphs) {
            Plan p = Session.plan(g, device);
            blocks.add(Session.inputBytes(p, device));
            // A block of the arena serves all graphs that need no more.
            if (p.report().arenaBytes() > arena) blocks.add(arena = p.report().arenaBytes());
        }
        blocks.add((long) PearsonMoments.ROWS * subject.vertices() * DType.F64.bytes());
        return blocks.stream().mapToLong(Long::longValue).toArray();
    }

    /** Photographs per batch, the most that one call accepts. */
    public int batch() {
        return batch;
    }

    /** Numbers per photograph: vertices, with the left hemisphere's first, or features. */
    public int columns() {
        return output.type().shape().dim(1);
    }

    /** Bytes of one photograph: S * S * 3, rows of RGB; or of what stands for it. */
    public int imageBytes() {
        return imageBytes;
    }

    /**
     * Predicts n photographs, 1 to {@link #batch()}.
     *
     * @param rgb n photographs, u8 [n, S, S, 3]
     * @return measured responses, or features, [n, columns]
     */
    public float[] predict(byte[] rgb) {
        check(rgb.length);
        int n = rgb.length / imageBytes();
        float[] out = new float[n * columns()];
        pixels.put(0, rgb);
        run();
        read(out, 0, n);
        restore(FloatBuffer.wrap(out), 0, n);
        return out;
    }

    /**
     * Predicts from and into direct buffers; on a CPU it allocates nothing.
     *
     * @param rgb n photographs, u8 [n, S, S, 3], from its position to its limit; the position does not move
     * @param responses receives [n, columns] from its position on, which advances
     */
    public void predict(ByteBuffer rgb, FloatBuffer responses) {
        check(rgb.remaining());
        int n = rgb.remaining() / imageBytes(), count = n * columns();
        if (responses.remaining() < count)
            throw new IllegalArgumentException(
                    "the buffer has room for " + responses.remaining() + " floats, " + count + " are needed");
        pixels.put(0, rgb, rgb.position(), rgb.remaining());
        run();
        int at = responses.position();
        output.read(responses, count);
        restore(responses, at, n);
    }

    /**
     * Where the photographs of a batch lie, u8 [batch, S, S, 3]: on the host or on the card. Write some before
     * {@link #runInPlace}.
     *
     * @throws IllegalStateException if the predictor is closed, or this is another thread than the one that made it
     * @throws IllegalArgumentException if a card copies so few bytes from the host in every run
     */
    public TensorMemory imageMemory() {
        return (sampler == null ? session : sampler.reader()).inputMemory(photographs);
    }

    /**
     * Where the output of a batch lies, f32 [batch, columns], until the next run: measured responses of a predictor of
     * {@link Form#MEASURED} ({@link Model#measured}), else what {@link #read} copies.
     *
     * @throws IllegalStateException if the predictor is closed, or this is another thread than the one that made it
     */
    public TensorMemory outputMemory() {
        return session.outputMemory("y");
    }

    /**
     * Predicts what lies in {@link #imageMemory}, and waits until it is in {@link #outputMemory}. Work on other streams
     * of a card that writes the photographs must be done.
     *
     * @throws IllegalStateException if the predictor draws samples on a card: their noise is a function of the
     *     photographs' bytes, which are not on the host
     */
    public void runInPlace() {
        boolean onHost = imageMemory().onHost();
        if (sampler != null && !onHost)
            throw new IllegalStateException("the noise of samples is a function of the photographs' bytes, which are"
                    + " not on the host: predict from a buffer, or the mean (Sampling.Mode.MEAN)");
        if (sampler != null) sampler.run(pixels, IGNORED);
        session.run();
        session.synchronize();
    }

    /**
     * Predicts from and into memory of other programs, by one copy each. Both may be on the host, or on the predictor's
     * own card: that a range is readable, or writable, nothing can check. Work on other streams of a card that writes
     * the photographs must be done.
     *
     * @param rgb address of n photographs, u8 [n, S, S, 3]
     * @param responses address of the room for measured responses, f32 [n, columns]
     * @param n photographs, 1 to {@link #batch}
     * @throws IllegalStateException if the predictor is not of {@link Form#MEASURED}, or is closed
     */
    public void predict(long rgb, long responses, int n) {
        if (form != Form.MEASURED)
            throw new IllegalStateException("the responses in memory are not the measured ones: use Model.measured");
        if (rgb == 0 || responses == 0) throw new IllegalArgumentException("an address is null");
        if (n < 1) throw new IllegalArgumentException("0 photographs or fewer: " + n);
        check(Math.multiplyExact(n, imageBytes()));
        TensorMemory to = imageMemory(), from = outputMemory();
        DeviceRuntime device = session.device().runtime();
        device.use();
        device.copy(to.address(), rgb, (long) n * imageBytes());
        runInPlace();
        device.copy(responses, from.address(), (long) n * columns() * Float.BYTES);
        device.synchronize();
    }

    private void restore(FloatBuffer responses, int at, int n) {
        if (form == Form.RESPONSES || form == Form.EVALUATION) scaling.restore(responses, at, n);
    }

    private void check(int bytes) {
        int size = imageBytes();
        if (bytes == 0 || bytes % size != 0 || bytes / size > batch)
            throw new IllegalArgumentException(bytes + " bytes given; a photograph has " + size
                    + " bytes, a call takes 1 to " + batch + " photographs");
    }

    /** The buffer for a batch of photographs, u8 [batch, S, S, 3]; fill it before {@link #run()}. */
    public ByteBuffer imageBytesOfBatch() {
        synchronize(); // the last run may still read its photographs
        return images.contents();
    }

    private void synchronize() {
        if (sampler != null) sampler.synchronize();
        session.synchronize();
    }

    /** Predicts the photographs in {@link #imageBytesOfBatch}. */
    public void run() {
        run(IGNORED);
    }

    /**
     * The same, with a look at the samples whose mean is the prediction.
     *
     * @param drawn called with its number, from 0 on, after each sample, which {@link #readSample} reads; never called
     *     if predictions are no means of samples
     */
    public void run(IntConsumer drawn) {
        images.send();
        if (sampler != null) sampler.run(pixels, drawn);
        session.run();
    }

    /**
     * Copies the first n rows of the sample just drawn to {@code into[at...]}, as {@link #read} does.
     *
     * @throws IllegalStateException if predictions are no means of samples
     */
    public void readSample(float[] into, int at, int n) {
        if (sampler == null) throw new IllegalStateException("the predictor draws no samples");
        sampler.read(into, at, n);
    }

    /** How samples are drawn; empty if predictions are no means of samples. */
    public Optional<Sampling> sampling() {
        return Optional.ofNullable(sampler).map(Sampler::sampling);
    }

    /** How the predictions are made, for messages; "" for a model that predicts in one way, in f32. */
    public String prediction() {
        return prediction;
    }

    /** Whether the predictor takes targets and accumulates moments. */
    public boolean evaluates() {
        return evaluation != null;
    }

    /**
     * The buffer for the targets of a batch, f32 [batch, columns], converted by {@link #scaling}; fill it before
     * {@link #evaluate}.
     */
    public ByteBuffer targetsOfBatch() {
        synchronize();
        return evaluation().targets.contents();
    }

    /**
     * Predicts the batch and adds predictions and targets to the moments.
     *
     * @param before photographs already in the moments; 0 resets them
     * @param n how many photographs of the batch count, from the first on
     */
    public void evaluate(int before, int n) {
        Evaluation e = evaluation();
        e.rows.set(0, before);
        e.rows.set(1, n);
        e.targets.send();
        run();
    }

    private Evaluation evaluation() {
        return Objects.requireNonNull(evaluation, "the predictor does not evaluate");
    }

    /** The moments after the last run, f64 [{@link PearsonMoments#ROWS}, columns]. */
    public DoubleBuffer moments() {
        return session.output("moments").snapshot().asDoubleBuffer();
    }

    /**
     * Copies the first n rows of the last run's output to {@code into[at...]}: features, or responses as the network
     * learned them ({@link #scaling}).
     */
    public void read(float[] into, int at, int n) {
        output.read(into, at, n * columns());
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) closers.pop().run();
    }
}
