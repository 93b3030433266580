// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.data.Region;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;
import org.cortigan.op.GanLoss;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Ops;
import org.cortigan.op.PearsonLoss;
import org.cortigan.optim.Optimizer;

/**
 * One whole training step on a batch of one subject as one graph: the generator forward once; the discriminators of all
 * regions on real and generated responses as one batch of 2 B; their update; the generator's way through the updated
 * discriminators; its update.
 *
 * <p>Inputs: {@code images} u8 [B, S, S, 3], {@code responses} f32 [B, V], {@code loss.weights} [2] (pixel,
 * correlation), {@code gan.weight} [1], learning rates {@code lr.g}, {@code lr.d} [1] and numbers of the updates
 * {@code t.g}, {@code t.d} [1] from 1 on, in a model of several subjects also {@code t.head}: the head's own. Outputs:
 * {@code loss}, {@code pixel}, {@code correlation}, {@code norm.g}, one number each, and with discriminators
 * {@code norm.d} and for every region {@code d.loss}, {@code d.real}, {@code d.fake}, {@code g.loss} [regions].
 */
public final class StepGraph {
    private final Graph graph = new Graph();
    private final ModelConfig model;
    private final ModelConfig.Subject subject;
    private final List<Region> regions;
    private final LossConfig loss;
    private final DType compute;
    private final Weights g;
    private List<Weights> ds = List.of();

    /**
     * @param regions what each discriminator judges; unused where the adversarial loss has no weight
     * @param resident photographs whose data are inputs as a whole, {@code data.images} and {@code data.responses}, of
     *     which {@code index.images} and {@code index.responses} i32 [B] pick a batch; 0: the batch itself is the input
     */
    public StepGraph(
            ModelConfig model,
            ModelConfig.Subject subject,
            List<Region> regions,
            LossConfig loss,
            Optimizer og,
            Optimizer od,
            int batch,
            DType compute,
            int resident) {
        this.model = model;
        this.subject = subject;
        this.loss = loss;
        this.compute = compute;
        boolean gan = loss.ganTerm().weight() > 0 && model.discriminator().type() != Discriminator.Type.NONE;
        this.regions = gan ? List.copyOf(regions) : List.of();
        Generator generator = model.generator();
        int side = generator.image(), v = subject.vertices();
        Value images = resident > 0
                ? pick("images", graph.input("data.images", DType.U8, resident, side, side, 3), batch)
                : generator.images(graph, batch);
        Value responses = resident > 0
                ? pick("responses", graph.input("data.responses", DType.F32, resident, v), batch)
                : graph.input("responses", DType.F32, batch, v);
        Value weights = graph.input("loss.weights", DType.F32, 2);
        g = Weights.in(graph, compute, Generator.PREFIX, false);
        Value prediction;
        try (Graph.Scope s = graph.scope("generator")) {
            prediction = generator.responses(g, images, subject.name(), subject.vertices());
        }
        if (gan) train(od, images, responses, prediction);

        List<Value> totals = new ArrayList<>();
        try (Graph.Scope s = graph.scope("loss")) {
            Node p =
                    graph.apply(new PearsonLoss(loss.pixel(), loss.axis(), loss.eps()), prediction, responses, weights);
            totals.add(p.output(0));
            graph.output("pixel", p.output(1));
            graph.output("correlation", p.output(2));
        }
        if (gan) totals.add(judge(images, prediction));
        // Each way back starts from its own total, so that the fused losses' gradients are taken as they are.
        List<Value> ones = new ArrayList<>();
        for (Value t : totals) ones.add(graph.constant(1, DType.F32, 1));
        List<Value> d = Gradients.of(totals, ones, g.differentiable());
        Value sum = totals.get(0);
        for (Value t : totals.subList(1, totals.size())) sum = Ops.add(sum, t);
        graph.output("loss", sum);
        try (Graph.Scope s = graph.scope("generator/update")) {
            Value shared = graph.input("t.g", DType.F32, 1);
            Value own = subject.name().isEmpty() ? shared : graph.input("t.head", DType.F32, 1);
            graph.output(
                    "norm.g",
                    og.apply(
                            List.of(g),
                            List.of(d),
                            graph.input("lr.g", DType.F32, 1),
                            spec -> ofSubject(spec.name()) ? own : shared));
            // running statistics are nobody's input within the step, so they are asked for
            for (Weights.Spec state : g.states()) graph.output("updated." + state.name(), g.now(state.name()));
            graph.output("updated.g", g.now(g.specs().get(0).name()));
            if (own != shared)
                graph.output(
                        "updated.head",
                        g.now(g.specs().stream()
                                .filter(x -> ofSubject(x.name()))
                                .findFirst()
                                .orElseThrow()
                                .name()));
        }
    }

    private Value pick(String name, Value table, int batch) {
        try (Graph.Scope s = graph.scope("data")) {
            return graph.apply(new GatherRows(), table, graph.input("index." + name, DType.I32, batch))
                    .output(0);
        }
    }

    /** Whether a parameter of the generator is one subject's own: its head, or its vector in the backbone. */
    static boolean ofSubject(String parameter) {
        return parameter.startsWith(Generator.PREFIX + "head.") || parameter.startsWith(Generator.PREFIX + "subject.");
    }

    /** The generator's loss by the updated discriminators. */
    private Value judge(Value images, Value prediction) {
        try (Graph.Scope s = graph.scope("discriminator/judge")) {
            if (model.discriminator().spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(ds);
            Discriminator.Logits logits =
                    model.discriminator().logits(ds, prediction, regions, images, model.generator());
            Node l = ganLoss(
                    GanLoss.Side.GENERATOR,
                    logits,
                    model.discriminator().shares(regions),
                    graph.input("gan.weight", DType.F32, 1));
            graph.output("g.loss", l.output(1));
            return l.output(0);
        }
    }

    private Node ganLoss(GanLoss.Side side, Discriminator.Logits logits, List<Double> shares, Value weight) {
        List<GanLoss.Group> groups = new ArrayList<>();
        for (int i = 0; i < shares.size(); i++)
            groups.add(new GanLoss.Group(logits.perRow().get(i), shares.get(i)));
        return graph.apply(new GanLoss(loss.gan(), side, groups), logits.value(), weight);
    }

    private void train(Optimizer od, Value images, Value responses, Value prediction) {
        Discriminator d = model.discriminator();
        ds = d.networks(graph, compute, subject.name(), regions);
        Value one = graph.constant(1, DType.F32, 1), total;
        try (Graph.Scope s = graph.scope("discriminator")) {
            // declared first, so that the power iteration knows the weights before they are used
            List<Weights> declared = d.declare(compute, subject.name(), subject.vertices(), regions, model.generator());
            for (int i = 0; i < ds.size(); i++)
                ds.get(i).declare(declared.get(i).specs());
            if (d.spectral() == Discriminator.Spectral.TORCH) Weights.advanceSpectralNorm(ds);
            Value both = Ops.concat(0, Ops.cast(responses, compute), prediction);
            Discriminator.Logits logits = d.logits(ds, both, regions, images, model.generator());
            // networks of their own: each has its whole loss
            Node l = ganLoss(
                    GanLoss.Side.DISCRIMINATOR,
                    logits,
                    regions.stream().map(r -> 1.0).toList(),
                    one);
            total = l.output(0);
            graph.output("d.loss", l.output(1));
            graph.output("d.real", l.output(2));
            graph.output("d.fake", l.output(3));
        }
        List<Value> wrt = new ArrayList<>();
        for (Weights w : ds) wrt.addAll(w.differentiable());
        List<Value> gradients = Gradients.of(List.of(total), List.of(one), wrt);
        List<List<Value>> of = new ArrayList<>();
        int at = 0;
        for (Weights w : ds) of.add(gradients.subList(at, at += w.specs().size()));
        try (Graph.Scope s = graph.scope("discriminator/update")) {
            Value t = graph.input("t.d", DType.F32, 1);
            graph.output("norm.d", od.apply(ds, of, graph.input("lr.d", DType.F32, 1), spec -> t));
            if (d.spectral() == Discriminator.Spectral.STEP) Weights.advanceSpectralNorm(ds);
        }
    }

    public Graph graph() {
        return graph;
    }

    /** Regions that are judged; none where the adversarial loss has no weight. */
    public List<Region> regions() {
        return regions;
    }

    /** Parameters of the generator for this subject. */
    public List<Weights.Spec> generatorSpecs() {
        return g.specs();
    }

    /** What the generator keeps but does not train. */
    public List<Weights.Spec> states() {
        return g.states();
    }

    /** Parameters of the discriminators. */
    public List<Weights.Spec> discriminatorSpecs() {
        return ds.stream().flatMap(w -> w.specs().stream()).toList();
    }
}
