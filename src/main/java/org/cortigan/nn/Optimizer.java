// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Adam;
import org.cortigan.op.GradNorm;
import org.cortigan.op.SpectralNorm;

/**
 * Adam or AdamW for one group of networks, with its learning rate's schedule.
 *
 * @param rate highest learning rate
 * @param clip greatest norm of all gradients together, 0 for none
 * @param ema decay of the moving average of the parameters, 0 for none
 * @param warmup epochs over which the rate rises linearly
 * @param least rate at the end of a schedule, as a part of {@code rate}
 */
public record Optimizer(
        boolean decoupled,
        double rate,
        double beta1,
        double beta2,
        double eps,
        double decay,
        double clip,
        double ema,
        Schedule schedule,
        double warmup,
        double least) {
    public enum Kind {
        ADAM,
        ADAMW
    }

    public enum Schedule {
        CONSTANT,
        LINEAR,
        COSINE
    }

    /** Prefixes of the state's variables. */
    public static final String M = "adam.m/", V = "adam.v/";

    /** The generator's, from the section {@code optimizer} of a recipe. */
    public static Optimizer generator(Settings s) {
        return of(s, "learning_rate", "betas", s.number("ema", 0, 0.999999));
    }

    /** The discriminators', with their own rate and betas and without a moving average. */
    public static Optimizer discriminator(Settings s) {
        return of(s, "discriminator_learning_rate", "discriminator_betas", 0);
    }

    private static Optimizer of(Settings s, String rate, String betas, double ema) {
        List<Double> b = s.numbers(betas, 2);
        for (double x : b)
            if (x < 0 || x >= 1) throw s.wrong(betas, x + " does not fit", "Give numbers from 0 to below 1");
        return new Optimizer(
                s.choice("type", Kind.class) == Kind.ADAMW,
                s.number(rate, 0),
                b.get(0),
                b.get(1),
                s.number("eps", 1e-30),
                s.number("weight_decay", 0),
                s.number("clip_norm", 0),
                ema,
                s.choice("schedule", Schedule.class),
                s.number("warmup_epochs", 0),
                s.number("final_rate", 0, 1));
    }

    /** Learning rate at a step (0, 1, ...). */
    public double at(long step, long stepsPerEpoch, long steps) {
        double up = warmup * stepsPerEpoch;
        if (step < up) return rate * (step + 1) / up;
        double t = steps <= up ? 0 : Math.min(1, (step - up) / (steps - up));
        return rate
                * switch (schedule) {
                    case CONSTANT -> 1;
                    case LINEAR -> 1 + (least - 1) * t;
                    case COSINE -> least + (1 - least) * (1 + Math.cos(Math.PI * t)) / 2;
                };
    }

    /**
     * Adds the step to the graph: from then on the networks' parameters are the new ones. One node for all parameters
     * that have made as many updates. Gradients of spectrally normalised weights are not made for it: norm and step
     * read what they would be made of.
     *
     * @param gradients of each network's {@link Weights#differentiable()}
     * @param rateInput [1], learning rate; @param stepInput [1] of a parameter, number of its step from 1 on
     * @return norm of all gradients [1], before clipping
     */
    public Value apply(
            List<Weights> networks,
            List<List<Value>> gradients,
            Value rateInput,
            Function<Weights.Spec, Value> stepInput) {
        Graph g = rateInput.graph();
        List<Value> all = new ArrayList<>();
        gradients.forEach(all::addAll);
        List<List<Value>> parts = SpectralNorm.gradientParts(all);
        Value norm = GradNorm.of(parts);
        Iterator<List<Value>> gradient = parts.iterator();
        Map<Value, Update> updates = new LinkedHashMap<>();
        for (Weights w : networks)
            for (Weights.Spec s : w.specs())
                updates.computeIfAbsent(
                                stepInput.apply(s), t -> new Update(new ArrayList<>(List.of(rateInput, t, norm))))
                        .add(w, s, gradient.next());
        updates.values().forEach(u -> u.apply(g));
        return norm;
    }

    /** One node under construction. */
    private final class Update {
        private final List<Value> in;
        private final List<Adam.Slot> slots = new ArrayList<>();
        private final List<Weights> networks = new ArrayList<>();
        private final List<Weights.Spec> specs = new ArrayList<>();

        Update(List<Value> in) {
            this.in = in;
        }

        void add(Weights w, Weights.Spec s, List<Value> gradient) {
            Graph g = w.graph();
            int[] dims = s.shape().dims();
            networks.add(w);
            specs.add(s);
            slots.add(new Adam.Slot(s.decay() ? decay : 0, s.copy(), gradient.size() > 1));
            in.add(w.now(s.name()));
            in.add(gradient.get(0));
            in.add(g.variable(M + s.name(), DType.F32, dims));
            in.add(g.variable(V + s.name(), DType.F32, dims));
            if (s.copy()) in.add(w.now(Weights.copyName(s.name())));
            if (ema > 0) in.add(g.variable(Weights.AVERAGE + s.name(), DType.F32, dims));
            in.addAll(gradient.subList(1, gradient.size()));
        }

        void apply(Graph g) {
            Adam op = new Adam(beta1, beta2, eps, clip, ema, decoupled, slots);
            Node step = g.apply(op, in);
            for (int k = 0; k < specs.size(); k++) {
                Weights.Spec s = specs.get(k);
                networks.get(k).replace(s.name(), step.output(op.output(k)));
                if (s.copy()) networks.get(k).replace(Weights.copyName(s.name()), step.output(op.output(k) + 3));
            }
        }
    }
}
