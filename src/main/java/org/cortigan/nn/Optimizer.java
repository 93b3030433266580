// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;
import org.cortigan.config.Settings;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Adam;
import org.cortigan.op.GradNorm;
import org.cortigan.op.SpectralNorm;

/**
 * Adam or AdamW for one group of networks, with the schedule of its learning rate.
 *
 * @param decoupled true for AdamW, false for Adam
 * @param rate highest learning rate
 * @param beta1 decay of the first moment m
 * @param beta2 decay of the second moment v
 * @param eps added to the denominator of the update
 * @param decay weight decay
 * @param readoutDecay weight decay of a generator's readout
 * @param clip largest global gradient norm, 0 for no clipping
 * @param ema decay of the moving average of the parameters, 0 for no average
 * @param schedule course of the rate after the warm-up
 * @param warmup epochs over which the rate rises linearly
 * @param finalRate rate at the end of the schedule, as a fraction of {@code rate}
 */
public record Optimizer(
        boolean decoupled,
        double rate,
        double beta1,
        double beta2,
        double eps,
        double decay,
        double readoutDecay,
        double clip,
        double ema,
        Schedule schedule,
        double warmup,
        double finalRate) {
    /** Adam (Kingma and Ba 2015), or AdamW with decoupled weight decay (Loshchilov and Hutter 2019). */
    public enum Kind {
        ADAM,
        ADAMW
    }

    /** Course of the learning rate after the warm-up: to its end on a line or half a cosine. */
    public enum Schedule {
        CONSTANT,
        LINEAR,
        COSINE
    }

    /** Prefixes of the names of the moment variables m and v. */
    public static final String M = "adam.m/", V = "adam.v/";

    /** The generator's optimizer, from the section {@code optimizer} of a recipe. */
    public static Optimizer generator(Settings s) {
        return of(s, "learning_rate", "betas", s.number("ema", 0, 0.999999));
    }

    /** The discriminators' optimizer: its own rate and betas, and no moving average. */
    public static Optimizer discriminator(Settings s) {
        return of(s, "discriminator_learning_rate", "discriminator_betas", 0);
    }

    private static Optimizer of(Settings s, String rate, String betas, double ema) {
        List<Double> b = s.numbers(betas, 2);
        for (double x : b)
            if (x < 0 || x >= 1) throw s.wrong(betas, x + " is out of range", "Give numbers from 0 to below 1");
        double decay = s.number("weight_decay", 0);
        return new Optimizer(
                s.choice("type", Kind.class) == Kind.ADAMW,
                s.number(rate, 0),
                b.get(0),
                b.get(1),
                s.number("eps", 1e-30),
                decay,
                readoutDecay(s, decay),
                s.number("clip_norm", 0),
                ema,
                s.choice("schedule", Schedule.class),
                s.number("warmup_epochs", 0),
                s.number("final_rate", 0, 1));
    }

    private static double readoutDecay(Settings s, double others) {
        String key = "readout_weight_decay";
        double decay = s.number(key, -1);
        if (decay == -1) return others;
        if (decay < 0)
            throw s.wrong(key, decay + " is negative", "Give a number of at least 0, or -1 for weight_decay");
        return decay;
    }

    /**
     * Learning rate at a step.
     *
     * @param step from 0 on
     * @param steps number of steps of the whole run
     */
    public double at(long step, long stepsPerEpoch, long steps) {
        double warmupSteps = warmup * stepsPerEpoch;
        if (step < warmupSteps) return rate * (step + 1) / warmupSteps;
        double t = steps <= warmupSteps ? 0 : Math.min(1, (step - warmupSteps) / (steps - warmupSteps));
        return rate
                * switch (schedule) {
                    case CONSTANT -> 1;
                    case LINEAR -> 1 + (finalRate - 1) * t;
                    case COSINE -> finalRate + (1 - finalRate) * (1 + Math.cos(Math.PI * t)) / 2;
                };
    }

    /**
     * Adds the optimizer step to the graph; from then on {@link Weights} returns the updated parameters. Parameters
     * with the same {@code stepInput} share one Adam node. Gradients of spectrally normalised weights stay factored:
     * GradNorm and Adam read the factors.
     *
     * @param gradients for each network, gradients with respect to {@link Weights#differentiable()}
     * @param reduction from the gradients to those that the step takes, for example their means over ranks
     * @param rateInput learning rate [1]
     * @param stepInput for a parameter, the number [1] of its next update, from 1 on
     * @param isReadout whether a parameter has the readout's weight decay
     * @param rateFactor factor of a parameter's learning rate
     * @return global gradient norm [1] before clipping
     */
    public Value apply(
            List<Weights> networks,
            List<List<Value>> gradients,
            UnaryOperator<List<Value>> reduction,
            Value rateInput,
            Function<Weights.Spec, Value> stepInput,
            Predicate<Weights.Spec> isReadout,
            ToDoubleFunction<Weights.Spec> rateFactor) {
        Graph g = rateInput.graph();
        List<Value> all = new ArrayList<>();
        gradients.forEach(all::addAll);
        List<List<Value>> parts = SpectralNorm.gradientParts(all, reduction);
        Value norm = GradNorm.of(parts);
        Iterator<List<Value>> gradient = parts.iterator();
        Map<Value, Update> updates = new LinkedHashMap<>();
        for (Weights w : networks)
            for (Weights.Spec s : w.trainable())
                updates.computeIfAbsent(
                                stepInput.apply(s), t -> new Update(new ArrayList<>(List.of(rateInput, t, norm))))
                        .add(
                                w,
                                s,
                                isReadout.test(s) ? readoutDecay : decay,
                                rateFactor.applyAsDouble(s),
                                gradient.next());
        updates.values().forEach(u -> u.apply(g));
        return norm;
    }

    /** Inputs and slots of one Adam node under construction. */
    private final class Update {
        private final List<Value> in;
        private final List<Adam.Slot> slots = new ArrayList<>();
        private final List<Weights> networks = new ArrayList<>();
        private final List<Weights.Spec> specs = new ArrayList<>();

        Update(List<Value> in) {
            this.in = in;
        }

        void add(Weights w, Weights.Spec s, double weightDecay, double rateFactor, List<Value> gradient) {
            Graph g = w.graph();
            int[] dims = s.shape().dims();
            networks.add(w);
            specs.add(s);
            slots.add(new Adam.Slot(s.decay() ? weightDecay : 0, rateFactor, s.copy(), gradient.size() > 1));
            in.add(w.current(s.name()));
            in.add(gradient.get(0));
            in.add(g.variable(M + s.name(), DType.F32, dims));
            in.add(g.variable(V + s.name(), DType.F32, dims));
            if (s.copy()) in.add(w.current(Weights.copyName(s.name())));
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
