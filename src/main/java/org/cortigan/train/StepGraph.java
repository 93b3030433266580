package org.cortigan.train;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.loss.LossConfig;
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
 * One whole training step as one graph: the generator forward once; the discriminators on real and generated responses
 * as one batch of 2 B; their update; the generator's way through the updated discriminators; its update.
 *
 * <p>Inputs: {@code images} u8 [B, S, S, 3], {@code responses} f32 [B, V], {@code loss.weights} [2] (pixel,
 * correlation), {@code gan.weight} [1], learning rates {@code lr.g}, {@code lr.d} [1] and numbers of the updates
 * {@code t.g}, {@code t.d} [1] from 1 on. Outputs, one number each: {@code loss}, {@code pixel}, {@code correlation},
 * {@code norm.g}, and with discriminators {@code norm.d} and for each part {@code d.loss.PART}, {@code d.real.PART},
 * {@code d.fake.PART}, {@code g.loss.PART}.
 */
public final class StepGraph {
    private final Graph graph = new Graph();
    private final List<Discriminator.Part> parts;

    public StepGraph(ModelConfig m, LossConfig loss, Optimizer og, Optimizer od, int batch, DType compute) {
        this(m, loss, og, od, batch, compute, 0);
    }

    /**
     * @param resident photographs whose data are inputs as a whole, {@code data.images} and {@code data.responses}, of which
     *     {@code index.images} and {@code index.responses} i32 [B] pick a batch; 0: the batch itself is the input
     */
    public StepGraph(ModelConfig m, LossConfig loss, Optimizer og, Optimizer od, int batch, DType compute, int resident) {
        parts = loss.ganTerm().weight() > 0 ? m.parts() : List.of();
        Generator generator = m.generator();
        int side = generator.image();
        Value images = resident > 0 ? pick("images", graph.input("data.images", DType.U8, resident, side, side, 3), batch)
                : generator.images(graph, batch);
        Value responses = resident > 0 ? pick("responses", graph.input("data.responses", DType.F32, resident, m.vertices()), batch)
                : graph.input("responses", DType.F32, batch, m.vertices());
        Value weights = graph.input("loss.weights", DType.F32, 2);
        Weights g = Weights.in(graph, compute, Generator.PREFIX, false);
        Value prediction;
        try (Graph.Scope s = graph.scope("generator")) {
            prediction = generator.responses(g, images, m.vertices());
        }
        List<Weights> ds = new ArrayList<>();
        if (!parts.isEmpty()) train(m, loss, od, compute, images, responses, prediction, ds);

        List<Value> totals = new ArrayList<>();
        try (Graph.Scope s = graph.scope("loss")) {
            Node p = graph.apply(
                    new PearsonLoss(loss.pixel(), loss.axis(), loss.eps()), prediction, responses, weights);
            totals.add(p.output(0));
            graph.output("pixel", p.output(1));
            graph.output("correlation", p.output(2));
        }
        for (int i = 0; i < parts.size(); i++) {
            Discriminator.Part part = parts.get(i);
            try (Graph.Scope s = graph.scope("discriminator." + part.name() + "/judge")) {
                if (m.discriminator().spectral() == Discriminator.Spectral.TORCH) ds.get(i).advanceSpectralNorm();
                Value logits = m.discriminator()
                        .logits(ds.get(i), Ops.slice(prediction, 1, part.from(), part.to()), images, generator);
                Value weight = i == 0 ? graph.input("gan.weight", DType.F32, 1) : graph.leafNamed("gan.weight");
                Node l = graph.apply(new GanLoss(loss.gan(), GanLoss.Side.GENERATOR), logits, weight);
                totals.add(l.output(0));
                graph.output("g.loss." + part.name(), l.output(1));
            }
        }
        // Each way back starts from its own total, so that the fused losses' gradients are taken as they are.
        List<Value> ones = new ArrayList<>();
        for (Value t : totals) ones.add(graph.constant(1, DType.F32, 1));
        List<Value> d = Gradients.of(totals, ones, g.differentiable());
        Value sum = totals.get(0);
        for (Value t : totals.subList(1, totals.size())) sum = Ops.add(sum, t);
        graph.output("loss", sum);
        try (Graph.Scope s = graph.scope("generator/update")) {
            graph.output("norm.g", og.apply(
                    List.of(g), List.of(d), graph.input("lr.g", DType.F32, 1), graph.input("t.g", DType.F32, 1)));
            graph.output("updated.g", g.now(g.specs().get(0).name()));
        }
    }

    private Value pick(String name, Value table, int batch) {
        try (Graph.Scope s = graph.scope("data")) {
            return graph.apply(new GatherRows(), table, graph.input("index." + name, DType.I32, batch)).output(0);
        }
    }

    private void train(
            ModelConfig m, LossConfig loss, Optimizer od, DType compute, Value images, Value responses, Value prediction,
            List<Weights> ds) {
        List<Value> totals = new ArrayList<>(), ones = new ArrayList<>();
        Value one = graph.constant(1, DType.F32, 1);
        Value real = Ops.cast(responses, compute);
        for (Discriminator.Part part : parts)
            try (Graph.Scope s = graph.scope("discriminator." + part.name())) {
                Weights w = Weights.in(graph, compute, part.prefix(), m.discriminator().normalised());
                w.declare(m.specs(compute, part));
                if (m.discriminator().spectral() == Discriminator.Spectral.TORCH) w.advanceSpectralNorm();
                ds.add(w);
                Value both = Ops.concat(
                        0, Ops.slice(real, 1, part.from(), part.to()), Ops.slice(prediction, 1, part.from(), part.to()));
                Value logits = m.discriminator().logits(w, both, images, m.generator());
                Node l = graph.apply(new GanLoss(loss.gan(), GanLoss.Side.DISCRIMINATOR), logits, one);
                totals.add(l.output(0));
                ones.add(one);
                graph.output("d.loss." + part.name(), l.output(1));
                graph.output("d.real." + part.name(), l.output(2));
                graph.output("d.fake." + part.name(), l.output(3));
            }
        List<Value> wrt = new ArrayList<>();
        for (Weights w : ds) wrt.addAll(w.differentiable());
        List<Value> d = Gradients.of(totals, ones, wrt);
        List<List<Value>> of = new ArrayList<>();
        int at = 0;
        for (Weights w : ds) of.add(d.subList(at, at += w.specs().size()));
        try (Graph.Scope s = graph.scope("discriminator/update")) {
            graph.output("norm.d", od.apply(
                    ds, of, graph.input("lr.d", DType.F32, 1), graph.input("t.d", DType.F32, 1)));
            if (m.discriminator().spectral() == Discriminator.Spectral.STEP) for (Weights w : ds) w.advanceSpectralNorm();
        }
    }

    public Graph graph() {
        return graph;
    }

    /** Discriminators in the step; none where the adversarial loss has no weight. */
    public List<Discriminator.Part> parts() {
        return parts;
    }
}
