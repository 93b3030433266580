// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.cortigan.cortex.Region;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.Logits;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;
import org.cortigan.op.Dropout;
import org.cortigan.op.GanLoss;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonLoss;

/**
 * One training step on a batch B of one subject, as one graph. The step runs, in order: the generator's forward pass;
 * the discriminators of all regions on real and generated responses, as one batch of 2 B; the update of the
 * discriminators; the updated discriminators on the generated responses; the update of the generator. {@link #inputs()}
 * and {@link #outputs()} list the graph's inputs and outputs.
 */
public final class StepGraph {
    private final Graph graph = new Graph();
    private final StepSettings settings;
    private final ModelConfig.Subject subject;
    private final List<Region> regions;
    private final int batch;
    private final int residentImages;
    private final Set<StepInput> inputs = EnumSet.noneOf(StepInput.class);
    private final Set<StepOutput> outputs = new LinkedHashSet<>();
    private final Weights generator;
    private final List<Weights> discriminators;

    /**
     * Builds the graph.
     *
     * @param regions vertices of each discriminator; ignored if the step has no discriminators
     * @param residentImages number N of training photographs, if all data are inputs and the step gathers the rows of
     *     the batch; 0 if the batch itself is the input
     */
    public StepGraph(
            StepSettings settings, ModelConfig.Subject subject, List<Region> regions, int batch, int residentImages) {
        this.settings = settings;
        this.subject = subject;
        this.regions = settings.adversarial() ? List.copyOf(regions) : List.of();
        this.batch = batch;
        this.residentImages = residentImages;
        Value images = images(), responses = responses();
        Value lossWeights = input(StepInput.LOSS_WEIGHTS, DType.F32, 2);
        generator = Weights.in(graph, settings.compute(), Generator.PREFIX, false);
        settings.fp8().ifPresent(generator::useFp8);
        Value prediction = predict(images);
        discriminators = adversarial() ? updatedDiscriminators(images, responses, prediction) : List.of();
        List<Value> losses = new ArrayList<>();
        losses.add(responseLoss(prediction, responses, lossWeights));
        if (adversarial()) losses.add(adversarialLoss(images, prediction));
        updateGenerator(losses);
        advanceFp8();
        if (Dropout.keyOf(graph).isPresent()) inputs.add(StepInput.DROPOUT);
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

    private void output(StepOutput output, Value value) {
        outputs.add(output);
        graph.output(output.key(), value);
    }

    /** Makes an updated variable an output, so that the graph keeps an update that no node of the step reads. */
    private void updated(String name, Value value) {
        graph.output("updated." + name, value);
    }

    private Value images() {
        Generator g = settings.model().generator();
        int side = g.image();
        if (resident())
            return gather(input(StepInput.ALL_IMAGES, DType.U8, residentImages, side, side, 3), StepInput.IMAGE_ROWS);
        inputs.add(StepInput.IMAGES);
        return g.images(graph, batch);
    }

    private Value responses() {
        int vertices = subject.vertices();
        if (resident())
            return gather(input(StepInput.ALL_RESPONSES, DType.F32, residentImages, vertices), StepInput.RESPONSE_ROWS);
        return input(StepInput.RESPONSES, DType.F32, batch, vertices);
    }

    private Value gather(Value table, StepInput rows) {
        try (Graph.Scope s = graph.scope("data")) {
            return graph.apply(new GatherRows(), table, input(rows, DType.I32, batch))
                    .output(0);
        }
    }

    private Value predict(Value images) {
        try (Graph.Scope s = graph.scope("generator")) {
            return settings.model().generator().responses(generator, images, subject.name(), subject.vertices());
        }
    }

    /** The weighted sum of pixel loss and correlation loss. */
    private Value responseLoss(Value prediction, Value responses, Value weights) {
        LossConfig loss = settings.loss();
        try (Graph.Scope s = graph.scope("loss")) {
            Node l =
                    graph.apply(new PearsonLoss(loss.pixel(), loss.axis(), loss.eps()), prediction, responses, weights);
            output(StepOutput.PIXEL, l.output(1));
            output(StepOutput.CORRELATION, l.output(2));
            return l.output(0);
        }
    }

    /** The generator's weighted adversarial loss, by the updated discriminators. */
    private Value adversarialLoss(Value images, Value prediction) {
        Discriminator d = discriminator();
        try (Graph.Scope s = graph.scope("discriminator/judge")) {
            if (d.spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(discriminators);
            Logits logits = d.logits(
                    discriminators,
                    prediction,
                    regions,
                    images,
                    settings.model().generator());
            Node l = ganLoss(
                    GanLoss.Side.GENERATOR,
                    logits,
                    d.shares(regions),
                    input(StepInput.ADVERSARIAL_WEIGHT, DType.F32, 1));
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
    private List<Weights> updatedDiscriminators(Value images, Value responses, Value prediction) {
        List<Weights> networks = discriminator().networks(graph, settings.compute(), subject.name(), regions);
        settings.fp8().ifPresent(which -> networks.forEach(w -> w.useFp8(which)));
        Value one = graph.constant(1, DType.F32, 1);
        Value loss = discriminatorLoss(networks, images, responses, prediction, one);
        updateDiscriminators(networks, loss, one);
        return networks;
    }

    private Value discriminatorLoss(
            List<Weights> networks, Value images, Value responses, Value prediction, Value one) {
        Discriminator d = discriminator();
        Generator g = settings.model().generator();
        try (Graph.Scope s = graph.scope("discriminator")) {
            // Declare the weights first: the power iteration must run before the networks use them.
            List<Weights> declared = d.declare(settings.compute(), subject.name(), subject.vertices(), regions, g);
            for (int i = 0; i < networks.size(); i++)
                networks.get(i).declare(declared.get(i).specs());
            if (d.spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(networks);
            Value realAndGenerated = Ops.concat(0, Ops.cast(responses, settings.compute()), prediction);
            Logits logits = d.logits(networks, realAndGenerated, regions, images, g);
            // Discriminators share no parameters, so their losses need no region weights.
            List<Double> whole = Collections.nCopies(regions.size(), 1.0);
            Node l = ganLoss(GanLoss.Side.DISCRIMINATOR, logits, whole, one);
            output(StepOutput.DISCRIMINATOR_LOSS, l.output(1));
            output(StepOutput.REAL_LOGIT, l.output(2));
            output(StepOutput.GENERATED_LOGIT, l.output(3));
            return l.output(0);
        }
    }

    private void updateDiscriminators(List<Weights> networks, Value loss, Value one) {
        List<Value> parameters = new ArrayList<>();
        for (Weights w : networks) parameters.addAll(w.differentiable());
        List<Value> gradients = Gradients.of(List.of(loss), List.of(one), parameters);
        List<List<Value>> perNetwork = new ArrayList<>();
        int at = 0;
        for (Weights w : networks)
            perNetwork.add(gradients.subList(at, at += w.specs().size()));
        try (Graph.Scope s = graph.scope("discriminator/update")) {
            Value update = input(StepInput.DISCRIMINATOR_UPDATE, DType.F32, 1);
            Value rate = input(StepInput.DISCRIMINATOR_RATE, DType.F32, 1);
            output(
                    StepOutput.DISCRIMINATOR_NORM,
                    settings.discriminatorOptimizer().apply(networks, perNetwork, rate, spec -> update, spec -> false));
            if (discriminator().spectral() == Discriminator.Spectral.STEP) Weights.advanceSpectralNorm(networks);
        }
    }

    private void updateGenerator(List<Value> losses) {
        // Back-propagate each loss separately with gradient 1, so that a fused loss's gradient needs no scaling.
        List<Value> ones = new ArrayList<>();
        for (int i = 0; i < losses.size(); i++) ones.add(graph.constant(1, DType.F32, 1));
        List<Value> gradients = Gradients.of(losses, ones, generator.differentiable());
        Value sum = losses.get(0);
        for (Value loss : losses.subList(1, losses.size())) sum = Ops.add(sum, loss);
        output(StepOutput.LOSS, sum);
        try (Graph.Scope s = graph.scope("generator/update")) {
            Value shared = input(StepInput.GENERATOR_UPDATE, DType.F32, 1);
            Value own = hasOwnHead() ? input(StepInput.HEAD_UPDATE, DType.F32, 1) : shared;
            Value rate = input(StepInput.GENERATOR_RATE, DType.F32, 1);
            output(
                    StepOutput.GENERATOR_NORM,
                    settings.generatorOptimizer()
                            .apply(
                                    List.of(generator),
                                    List.of(gradients),
                                    rate,
                                    spec -> Generator.isSubjectsOwn(spec) ? own : shared,
                                    Generator::isReadout));
            for (Weights.Spec state : generator.states()) updated(state.name(), generator.current(state.name()));
            updated("g", generator.current(generator.specs().get(0).name()));
            if (hasOwnHead()) updated("head", generator.current(firstOfHead().name()));
        }
    }

    private Weights.Spec firstOfHead() {
        return generator.specs().stream()
                .filter(Generator::isSubjectsOwn)
                .findFirst()
                .orElseThrow();
    }

    /** The graph, without recomputation. */
    public Graph graph() {
        return graph;
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
