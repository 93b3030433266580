// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.cortex.Region;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.Diffusion;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.Logits;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;
import org.cortigan.op.AllReduce;
import org.cortigan.op.Dropout;
import org.cortigan.op.GanLoss;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonLoss;
import org.jspecify.annotations.Nullable;

/**
 * One training step on a batch B of one subject, as one graph. The step runs, in order: the generator's forward pass;
 * the discriminators of all regions on real and generated responses, as one batch of 2 B; the update of the
 * discriminators; the updated discriminators on the generated responses; the update of the generator. {@link #inputs()}
 * and {@link #outputs()} list the graph's inputs and outputs.
 *
 * <p>With K micro-batches of B photographs, losses and gradients are means over the micro-batches, which run one after
 * the other: a step needs the memory of one of them, and of one set of gradients. The generator's forward pass then
 * runs twice for each: for the discriminators' losses, and after their update for its own.
 *
 * <p>With several ranks ({@link StepSettings#shard}), each has its part of every micro-batch in a graph of its own, and
 * B is the number of photographs in that part. Gradients, and the losses that are outputs, are means over the ranks.
 * Sums over the ranks make Pearson's r over images and batch norm those of the whole micro-batch. So every rank makes
 * the same update, that of one rank with N times the batch.
 */
public final class StepGraph {
    private final Graph graph = new Graph();
    private final StepSettings settings;
    private final ModelConfig.Subject subject;
    private final List<Region> regions;
    private final int batch;
    private final int microBatches;
    private final int residentImages;
    private final Source images;
    private final Source responses;
    /** The random numbers of all micro-batches; empty unless the readout denoises responses. */
    private final Optional<Diffusion.Noise> noise;

    private final Value lossWeights;
    private final Set<StepInput> inputs = EnumSet.noneOf(StepInput.class);
    private final Set<StepOutput> outputs = new LinkedHashSet<>();
    /** Values of the micro-batches until all are known. */
    private final Map<StepOutput, List<Value>> measured = new EnumMap<>(StepOutput.class);
    /** Outputs whose mean over the ranks is wanted. */
    private final Map<StepOutput, Value> ofRank = new LinkedHashMap<>();

    /** The photographs of every forward pass of the generator. */
    private final List<Value> seen = new ArrayList<>();

    private final Weights generator;
    private final List<Weights> discriminators;

    /**
     * Photographs or responses of a step.
     *
     * @param data those of all micro-batches, or all training data if {@code rows} are the step's among them
     */
    private record Source(Value data, @Nullable Value rows) {}

    /**
     * The generator's forward pass on a micro-batch.
     *
     * @param responses what the loss compares the prediction with: the measured responses, or what a readout that
     *     denoises has to tell
     */
    private record Pass(Value images, Value responses, Value prediction) {}

    /** The graph of a step on one batch. */
    public StepGraph(
            StepSettings settings, ModelConfig.Subject subject, List<Region> regions, int batch, int residentImages) {
        this(settings, subject, regions, batch, 1, residentImages);
    }

    /**
     * Builds the graph.
     *
     * @param regions vertices of each discriminator; ignored if the step has no discriminators
     * @param batch B, photographs of a micro-batch that this graph has
     * @param microBatches K, micro-batches of a step
     * @param residentImages number N of training photographs, if all data are inputs and the step gathers the rows of
     *     the batch; 0 if the batch itself is the input
     */
    public StepGraph(
            StepSettings settings,
            ModelConfig.Subject subject,
            List<Region> regions,
            int batch,
            int microBatches,
            int residentImages) {
        this.settings = settings;
        this.subject = subject;
        this.regions = settings.adversarial() ? List.copyOf(regions) : List.of();
        this.batch = batch;
        this.microBatches = microBatches;
        this.residentImages = residentImages;
        images = images();
        responses = responses();
        noise = settings.model().generator().diffusion().map(d -> noise());
        lossWeights = input(StepInput.LOSS_WEIGHTS, DType.F32, 2);
        generator = generatorWeights();
        Pass only = microBatches == 1 ? pass(generator, 0) : null;
        // Weights of their own, so that the passes for the discriminators do not advance running statistics.
        Weights first = generatorWeights();
        discriminators = adversarial() ? updatedDiscriminators(k -> only != null ? only : pass(first, k)) : List.of();
        updateGenerator(k -> only != null ? only : pass(generator, k));
        advanceFp8();
        publishMeans();
        if (Dropout.keyOf(graph).isPresent()) inputs.add(StepInput.DROPOUT);
    }

    private Weights generatorWeights() {
        Weights w = Weights.in(graph, settings.compute(), Generator.PREFIX, false);
        w.freeze(settings.freeze()::freezes);
        w.useShard(settings.shard());
        settings.fp8().ifPresent(w::useFp8);
        return w;
    }

    private Pass pass(Weights w, int microBatch) {
        w.useMicroBatch(microBatch);
        Value x = part(images, microBatch), y = part(responses, microBatch);
        seen.add(x);
        if (noise.isEmpty()) return new Pass(x, y, predict(w, x));
        Diffusion.Noise all = noise.get();
        Diffusion.Noise own = new Diffusion.Noise(
                all.key(),
                part(new Source(all.rows(), null), microBatch),
                part(new Source(all.timesteps(), null), microBatch));
        try (Graph.Scope s = graph.scope("generator")) {
            Diffusion.Pair pair = settings.model().generator().denoised(w, x, y, own, subject.name());
            return new Pass(x, pair.target(), pair.prediction());
        }
    }

    private Diffusion.Noise noise() {
        return new Diffusion.Noise(
                input(StepInput.NOISE_KEY, DType.I32, 2),
                input(StepInput.NOISE_ROWS, DType.I32, photographs(), 2),
                input(StepInput.TIMESTEPS, DType.I32, photographs()));
    }

    /** Sets the scales of the next step, after the last product of this step. */
    private void advanceFp8() {
        try (Graph.Scope s = graph.scope("fp8/update")) {
            List<Value> states = Ops.advanceFp8(graph);
            if (!states.isEmpty()) updated("fp8", states.get(0));
        }
    }

    private Value input(StepInput input, DType dtype, int... dims) {
        inputs.add(input);
        return graph.input(input.key(), dtype, dims);
    }

    /** Makes the mean of a value over the micro-batches an output, once all of them have given theirs. */
    private void output(StepOutput output, Value value) {
        List<Value> values = measured.computeIfAbsent(output, o -> new ArrayList<>());
        values.add(value);
        if (values.size() < microBatches) return;
        if (settings.shard().isPart()) {
            outputs.add(output); // in the order in which they come, although they are known at the end
            ofRank.put(output, mean(values));
        } else outputOfStep(output, mean(values));
    }

    private void publishMeans() {
        if (ofRank.isEmpty()) return;
        try (Graph.Scope s = graph.scope("ranks")) {
            Iterator<Value> means =
                    AllReduce.means(List.copyOf(ofRank.values())).iterator();
            ofRank.keySet().forEach(output -> outputOfStep(output, means.next()));
        }
    }

    /** The gradients that an update takes. */
    private List<Value> ofAllRanks(List<Value> gradients) {
        if (!settings.shard().isPart()) return gradients;
        try (Graph.Scope s = graph.scope("ranks")) {
            return AllReduce.means(gradients);
        }
    }

    private static Value mean(List<Value> values) {
        Value sum = sum(values);
        return values.size() == 1 ? sum : Ops.scale(sum, 1.0 / values.size());
    }

    private static Value sum(List<Value> values) {
        Value sum = values.get(0);
        for (Value v : values.subList(1, values.size())) sum = Ops.add(sum, v);
        return sum;
    }

    private void outputOfStep(StepOutput output, Value value) {
        outputs.add(output);
        graph.output(output.key(), value);
    }

    /** Makes an updated variable an output, so that the graph keeps an update that no node of the step reads. */
    private void updated(String name, Value value) {
        graph.output("updated." + name, value);
    }

    private Source images() {
        Generator g = settings.model().generator();
        int side = g.image();
        if (resident())
            return new Source(
                    input(StepInput.ALL_IMAGES, DType.U8, residentImages, side, side, 3), rows(StepInput.IMAGE_ROWS));
        inputs.add(StepInput.IMAGES);
        return new Source(g.images(graph, photographs()), null);
    }

    private Source responses() {
        int vertices = subject.vertices();
        if (resident())
            return new Source(
                    input(StepInput.ALL_RESPONSES, DType.F32, residentImages, vertices), rows(StepInput.RESPONSE_ROWS));
        return new Source(input(StepInput.RESPONSES, DType.F32, photographs(), vertices), null);
    }

    private Value rows(StepInput rows) {
        return input(rows, DType.I32, photographs());
    }

    /** The rows of a micro-batch. */
    private Value part(Source from, int microBatch) {
        try (Graph.Scope s = graph.scope("data")) {
            Value all = from.rows == null ? from.data : from.rows;
            int[] own = IntStream.range(microBatch * batch, (microBatch + 1) * batch)
                    .toArray();
            Value part = microBatches == 1 ? all : gather(all, graph.table(own, batch));
            return from.rows == null ? part : gather(from.data, part);
        }
    }

    private Value gather(Value table, Value rows) {
        return graph.apply(new GatherRows(), table, rows).output(0);
    }

    private Value predict(Weights w, Value images) {
        try (Graph.Scope s = graph.scope("generator")) {
            return settings.model().generator().responses(w, images, subject.name(), subject.vertices());
        }
    }

    /** The weighted sum of pixel loss and correlation loss. */
    private Value responseLoss(Pass pass) {
        LossConfig loss = settings.loss();
        try (Graph.Scope s = graph.scope("loss")) {
            List<Value> in = new ArrayList<>(List.of(pass.prediction, pass.responses, lossWeights));
            int ranks = 1;
            if (settings.shard().isPart() && loss.axis() == PearsonLoss.Axis.IMAGES) {
                ranks = settings.shard().ranks();
                in.add(AllReduce.sum(graph.apply(new PearsonLoss.Sums(), pass.prediction, pass.responses)
                        .output(0)));
            }
            Node l = graph.apply(new PearsonLoss(loss.pixel(), loss.axis(), loss.eps(), ranks), in);
            output(StepOutput.PIXEL, l.output(1));
            output(StepOutput.CORRELATION, l.output(2));
            return l.output(0);
        }
    }

    /** The generator's weighted adversarial loss, by the updated discriminators. */
    private Value adversarialLoss(Pass pass, Value weight) {
        Discriminator d = discriminator();
        try (Graph.Scope s = graph.scope("discriminator/judge")) {
            if (d.spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(discriminators);
            Logits logits = d.logits(
                    discriminators,
                    pass.prediction,
                    regions,
                    pass.images,
                    settings.model().generator());
            Node l = ganLoss(GanLoss.Side.GENERATOR, logits, d.shares(regions), weight);
            output(StepOutput.GENERATOR_LOSS, l.output(1));
            return l.output(0);
        }
    }

    private Node ganLoss(GanLoss.Side side, Logits logits, List<Double> shares, Value weight) {
        List<GanLoss.Group> groups = new ArrayList<>();
        for (int i = 0; i < shares.size(); i++)
            groups.add(new GanLoss.Group(logits.perRow().get(i), shares.get(i)));
        return graph.apply(new GanLoss(settings.loss().gan(), side, groups), logits.value(), weight);
    }

    private Discriminator discriminator() {
        return settings.trainedDiscriminator().orElseThrow();
    }

    /** Updates the discriminators once. */
    private List<Weights> updatedDiscriminators(IntFunction<Pass> passes) {
        Discriminator d = discriminator();
        Generator g = settings.model().generator();
        List<Weights> networks = d.networks(graph, settings.compute(), subject.name(), regions);
        settings.fp8().ifPresent(which -> networks.forEach(w -> w.useFp8(which)));
        networks.forEach(w -> w.useShard(settings.shard()));
        // Declare the weights first: the power iteration must run before the networks use them.
        List<Weights> declared = d.declare(settings.compute(), subject.name(), subject.vertices(), regions, g);
        for (int i = 0; i < networks.size(); i++)
            networks.get(i).declare(declared.get(i).specs());
        List<Value> parameters = new ArrayList<>();
        for (Weights w : networks) parameters.addAll(w.differentiable());
        List<Value> gradients = List.of();
        for (int k = 0; k < microBatches; k++)
            gradients = gradients(List.of(discriminatorLoss(networks, passes.apply(k))), parameters, gradients);
        updateDiscriminators(networks, gradients);
        return networks;
    }

    private Value discriminatorLoss(List<Weights> networks, Pass pass) {
        Discriminator d = discriminator();
        try (Graph.Scope s = graph.scope("discriminator")) {
            if (d.spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(networks);
            Value realAndGenerated = Ops.concat(0, Ops.cast(pass.responses, settings.compute()), pass.prediction);
            Logits logits = d.logits(
                    networks,
                    realAndGenerated,
                    regions,
                    pass.images,
                    settings.model().generator());
            // Discriminators share no parameters, so their losses need no region weights.
            List<Double> whole = Collections.nCopies(regions.size(), 1.0);
            Node l = ganLoss(GanLoss.Side.DISCRIMINATOR, logits, whole, graph.constant(1, DType.F32, 1));
            output(StepOutput.DISCRIMINATOR_LOSS, l.output(1));
            output(StepOutput.REAL_LOGIT, l.output(2));
            output(StepOutput.GENERATED_LOGIT, l.output(3));
            return l.output(0);
        }
    }

    /**
     * Adds the backward pass of a micro-batch's losses.
     *
     * @param sums gradients of the micro-batches before it; empty for the first
     * @return the gradients, divided by the number of micro-batches, plus {@code sums}
     */
    private List<Value> gradients(List<Value> losses, List<Value> parameters, List<Value> sums) {
        // Back-propagate each loss separately. With one micro-batch its gradient is 1, so that the gradient of a fused
        // loss needs no scaling. The sums are gradients too, so that each grows as soon as it has a new term: no second
        // set of gradients is ever whole.
        Value seed = graph.constant(1.0 / microBatches, DType.F32, 1);
        List<Value> from = new ArrayList<>(losses), seeds = new ArrayList<>(Collections.nCopies(losses.size(), seed));
        from.addAll(parameters.subList(0, sums.size()));
        seeds.addAll(sums);
        return Gradients.of(from, seeds, parameters);
    }

    private void updateDiscriminators(List<Weights> networks, List<Value> gradients) {
        List<List<Value>> perNetwork = new ArrayList<>();
        int at = 0;
        for (Weights w : networks)
            perNetwork.add(gradients.subList(at, at += w.trainable().size()));
        try (Graph.Scope s = graph.scope("discriminator/update")) {
            Value update = input(StepInput.DISCRIMINATOR_UPDATE, DType.F32, 1);
            Value rate = input(StepInput.DISCRIMINATOR_RATE, DType.F32, 1);
            outputOfStep(
                    StepOutput.DISCRIMINATOR_NORM,
                    settings.discriminatorOptimizer()
                            .apply(
                                    networks,
                                    perNetwork,
                                    this::ofAllRanks,
                                    rate,
                                    spec -> update,
                                    spec -> false,
                                    spec -> 1));
            if (discriminator().spectral() == Discriminator.Spectral.STEP) Weights.advanceSpectralNorm(networks);
        }
    }

    private void updateGenerator(IntFunction<Pass> passes) {
        Value weight = adversarial() ? input(StepInput.ADVERSARIAL_WEIGHT, DType.F32, 1) : null;
        List<Value> gradients = List.of();
        for (int k = 0; k < microBatches; k++) {
            Pass pass = passes.apply(k);
            List<Value> losses = new ArrayList<>(List.of(responseLoss(pass)));
            if (weight != null) losses.add(adversarialLoss(pass, weight));
            gradients = gradients(losses, generator.differentiable(), gradients);
            output(StepOutput.LOSS, sum(losses));
        }
        try (Graph.Scope s = graph.scope("generator/update")) {
            Value shared = input(StepInput.GENERATOR_UPDATE, DType.F32, 1);
            Value own = hasOwnHead() ? input(StepInput.HEAD_UPDATE, DType.F32, 1) : shared;
            Value rate = input(StepInput.GENERATOR_RATE, DType.F32, 1);
            outputOfStep(
                    StepOutput.GENERATOR_NORM,
                    settings.generatorOptimizer()
                            .apply(
                                    List.of(generator),
                                    List.of(gradients),
                                    this::ofAllRanks,
                                    rate,
                                    spec -> Generator.isSubjectsOwn(spec) ? own : shared,
                                    Generator::isReadout,
                                    settings.rates()::of));
            for (Weights.Spec state : generator.states()) updated(state.name(), generator.current(state.name()));
            Map<Value, Weights.Spec> updates = new LinkedHashMap<>(); // one of each Adam node
            for (Weights.Spec p : generator.trainable())
                updates.putIfAbsent(hasOwnHead() && Generator.isSubjectsOwn(p) ? own : shared, p);
            updates.forEach((t, p) -> updated(t == shared ? "g" : "head", generator.current(p.name())));
        }
    }

    /** The graph, without recomputation. */
    public Graph graph() {
        return graph;
    }

    /** The photographs of the batch, u8 [B, S, S, 3], as every forward pass of the generator reads them. */
    List<Value> seenPhotographs() {
        return List.copyOf(seen);
    }

    /** The inputs that must be written before a step. */
    public Set<StepInput> inputs() {
        return Collections.unmodifiableSet(inputs);
    }

    /** The outputs that can be read after a step, in the order of the columns of metrics.csv. */
    public Set<StepOutput> outputs() {
        return Collections.unmodifiableSet(outputs);
    }

    /** The subject of the step. */
    public ModelConfig.Subject subject() {
        return subject;
    }

    /** Photographs of a step, in all its micro-batches. */
    private int photographs() {
        return Math.multiplyExact(batch, microBatches);
    }

    /** Whether the step trains discriminators. */
    public boolean adversarial() {
        return settings.adversarial();
    }

    /** Whether all training data are inputs and the step gathers its batch from them. */
    public boolean resident() {
        return residentImages > 0;
    }

    /** Whether a network has dropout, so that the step reads {@link StepInput#DROPOUT}. */
    public boolean hasDropout() {
        return inputs.contains(StepInput.DROPOUT);
    }

    /** Whether the readout denoises responses, so that the step reads {@link StepInput#TIMESTEPS}. */
    public boolean hasNoise() {
        return noise.isPresent();
    }

    /** Whether the model has several subjects, so that a head is updated less often than the backbone. */
    public boolean hasOwnHead() {
        return !subject.name().isEmpty();
    }

    /** The vertices of each discriminator; empty without discriminators. */
    public List<Region> regions() {
        return regions;
    }

    /** Parameters of the generator for this subject. */
    public List<Weights.Spec> generatorSpecs() {
        return generator.specs();
    }

    /** The generator's parameters that the step changes. */
    public List<Weights.Spec> trainedSpecs() {
        return generator.trainable();
    }

    /** The generator's untrained state, such as running statistics. */
    public List<Weights.Spec> states() {
        return generator.states();
    }

    /** The states of tensors in FP8, of all networks. */
    public List<Weights.Spec> fp8States() {
        return Stream.concat(Stream.of(generator), discriminators.stream())
                .flatMap(w -> w.fp8States().stream())
                .toList();
    }

    /** Parameters of the discriminators. */
    public List<Weights.Spec> discriminatorSpecs() {
        return discriminators.stream().flatMap(w -> w.specs().stream()).toList();
    }
}
