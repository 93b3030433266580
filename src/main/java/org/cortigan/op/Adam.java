// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * One step of Adam or AdamW on any number of parameters, in place. Formulas: kernels/adam/adam.h.
 *
 * <p>Inputs: learning rate, step number and gradient norm (f32[1] each). Then for each parameter: p, gradient, m and v
 * (f32), its bf16 copy if it has one, and its moving average if {@code ema > 0}. All except the gradients are
 * variables. A spectral gradient arrives as the factors of {@link SpectralNorm.Grad}: G takes the gradient's slot; u,
 * v, 1/sigma and lambda follow the other tensors. Outputs for each parameter: p, m, v, copy and average after the step.
 *
 * @param clip largest gradient norm; 0 for no clipping
 * @param ema decay of the moving average; 0 for no average
 * @param decoupled true for AdamW's weight decay; false for Adam's, which adds the decay to the gradient
 */
public record Adam(double beta1, double beta2, double eps, double clip, double ema, boolean decoupled, List<Slot> slots)
        implements Op.Update {
    /**
     * Settings of one parameter.
     *
     * @param decay weight decay
     * @param rate factor of the learning rate, that of the weight decay too
     * @param copy whether the parameter has a bf16 copy
     * @param spectral whether the gradient arrives as factors
     */
    public record Slot(double decay, double rate, boolean copy, boolean spectral) {}

    public Adam {
        slots = List.copyOf(slots);
    }

    @Override
    public String name() {
        return decoupled ? "adamw" : "adam";
    }

    /** Number of inputs of a parameter, without the trailing spectral factors. */
    private int tensors(int slot) {
        return 4 + (slots.get(slot).copy ? 1 : 0) + (ema > 0 ? 1 : 0);
    }

    /** Number of inputs of a parameter. */
    private int inputs(int slot) {
        return tensors(slot) + (slots.get(slot).spectral ? SpectralNorm.Grad.PARTS - 1 : 0);
    }

    private int first(int slot) {
        int at = 3;
        for (int i = 0; i < slot; i++) at += inputs(i);
        return at;
    }

    /** Output index of a parameter's new value. Its bf16 copy, if any, is at this index + 3. */
    public int output(int slot) {
        int at = 0;
        for (int i = 0; i < slot; i++) at += tensors(i) - 1;
        return at;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Type one = Type.of(DType.F32, 1);
        for (int i = 0; i < 3; i++)
            Op.require(in.get(i).type().equals(one), this, in, "rate, step and norm must be f32[1]");
        Op.require(in.size() == first(slots.size()), this, in, "wrong number of inputs");
        List<Type> out = new ArrayList<>();
        int at = first(0);
        for (int k = 0; k < slots.size(); at += inputs(k++)) {
            Value p = in.get(at);
            for (int i = 1; i < tensors(k); i++) {
                Value x = in.get(at + i);
                DType t = i == 4 && slots.get(k).copy ? DType.BF16 : DType.F32;
                // Compare element counts: a gradient may lack axes of extent 1.
                Op.require(
                        x.dtype() == t && x.shape().elements() == p.shape().elements(),
                        this,
                        in,
                        "a tensor of parameter " + p + " has another size or type");
                if (i > 1) out.add(x.type());
                else out.add(p.type());
            }
            if (slots.get(k).spectral) SpectralNorm.Grad.requireParts(this, in, in.get(at + 1), at + tensors(k));
        }
        return out;
    }

    @Override
    public int storage(int output) {
        // A plan asks for every output of a model's parameters several times: one pass, no sums of sums.
        int k = 0, i = output, at = first(0);
        for (; i >= tensors(k) - 1; at += inputs(k++)) i -= tensors(k) - 1;
        return at + (i == 0 ? 0 : i + 1);
    }

    @Override
    public Cost cost(Node n) {
        double e = 0;
        int at = first(0);
        for (int k = 0; k < slots.size(); at += inputs(k++))
            e += (slots.get(k).spectral ? 15.0 : 12.0) * n.input(at).shape().elements();
        return Op.cost(n, e);
    }

    @Override
    public String kernel() {
        return "adam";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("lr", 0).in("t", 1).in("norm", 2);
        w.f64("beta1", beta1)
                .f64("beta2", beta2)
                .f64("eps", eps)
                .f64("clip", clip)
                .f64("ema_decay", ema);
        w.flag("decoupled", decoupled);
        w.rows("rows", "n", slots.size(), k -> {
            Slot slot = slots.get(k);
            int at = first(k), factors = at + tensors(k);
            w.in("p", at).in("m", at + 2).in("v", at + 3);
            w.inOrNone("p16", slot.copy ? at + 4 : -1).inOrNone("ema", ema > 0 ? factors - 1 : -1);
            w.f64("decay", slot.decay).f64("rate", slot.rate);
            SpectralNorm.Grad.writeParts(n, w, "gradient.", at + 1, slot.spectral ? factors : -1);
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (boolean decoupled : new boolean[] {false, true})
            for (boolean full : new boolean[] {false, true})
                for (int n : new int[] {1, 37, 70_001})
                    c.add(OpCase.of(
                                    (decoupled ? "adamw " : "adam ") + n + (full ? " copy, average, clip" : ""),
                                    32,
                                    s -> {
                                        Adam op = new Adam(
                                                0.9,
                                                0.99,
                                                1e-8,
                                                full ? 0.5 : 0,
                                                full ? 0.9 : 0,
                                                decoupled,
                                                List.of(
                                                        new Slot(0.1, 1, full, false),
                                                        new Slot(0.1, 0.3, false, false)));
                                        return op.on(s, new int[] {n}, new int[] {5});
                                    })
                            // The copy is bf16 for every compute type: one rounding, 2^-8 = 65536 * 2^-24.
                            .terms(full ? 1L << 16 : 32)
                            // m and v add terms of a few standard deviations, which may cancel.
                            .scaled(4)
                            .noGradient());
        for (boolean full : new boolean[] {false, true})
            for (int[] size : SPECTRAL)
                c.add(OpCase.of(
                                "adamw spectral " + size[0] + "x" + size[1] + (full ? " copy, average, clip" : ""),
                                32,
                                s -> new Adam(
                                                0.9,
                                                0.99,
                                                1e-8,
                                                full ? 0.5 : 0,
                                                full ? 0.9 : 0,
                                                true,
                                                List.of(
                                                        new Slot(0.1, 0.7, full, true),
                                                        new Slot(0, 1, false, false),
                                                        new Slot(0.1, 1, false, true)))
                                        .on(s, size, new int[] {5}, new int[] {3, 7}))
                        // A factored gradient adds three roundings, its square six.
                        .terms(full ? 1L << 16 : 38)
                        .scaled(4)
                        .noGradient());
        int n = 8_000_000;
        c.add(OpCase.of("adamw 8000000", 32, s -> {
                    List<Value> in = new ArrayList<>(List.of(s.scalar(1e-2), s.scalar(3), s.scalar(2.5)));
                    in.add(s.variable(DType.F32, r -> new float[n], n));
                    in.add(s.filled(DType.F32, r -> new float[n], n));
                    in.add(s.variable(DType.F32, r -> new float[n], n));
                    in.add(s.variable(DType.F32, r -> new float[n], n));
                    return s.graph()
                            .apply(new Adam(0.9, 0.99, 1e-8, 1, 0, true, List.of(new Slot(0.1, 1, false, false))), in)
                            .outputs();
                })
                .benchmark());
        return c;
    }

    /**
     * Shapes of spectrally normalised weights in the cases: one row; one column; rows divisible by four and not; more
     * elements than one block and one thread take.
     */
    static final int[][] SPECTRAL = {{1, 37}, {41, 1}, {131, 67}, {41, 3}, {20, 1032}, {300, 36}, {509, 131}};

    /** Factors of a spectral gradient [m, n] of a few standard deviations, for cases. */
    static List<Value> spectral(CaseInputs s, int m, int n) {
        return List.of(
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, m * n), m, n),
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, m), m),
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, n), n),
                s.scalar(0.83),
                s.scalar(0.37));
    }

    /** Applies this op to random parameters of the given sizes, for cases. */
    private List<Value> on(CaseInputs s, int[]... sizes) {
        List<Value> in = new ArrayList<>(List.of(s.scalar(1e-2), s.scalar(3), s.scalar(2.5)));
        for (int k = 0; k < sizes.length; k++) {
            int[] size = sizes[k];
            int n = CaseInputs.elements(size);
            List<Value> g = slots.get(k).spectral
                    ? spectral(s, size[0], size[1])
                    : List.of(s.filled(DType.F32, r -> CaseInputs.gaussian(r, n), size));
            in.add(s.variable(DType.F32, r -> CaseInputs.gaussian(r, n), size));
            in.add(g.get(0));
            in.add(s.variable(DType.F32, r -> CaseInputs.gaussian(r, n), size));
            in.add(s.variable(DType.F32, r -> CaseInputs.positive(r, n), size));
            if (slots.get(k).copy) in.add(s.variable(DType.BF16, r -> CaseInputs.gaussian(r, n), size));
            if (ema > 0) in.add(s.variable(DType.F32, r -> CaseInputs.gaussian(r, n), size));
            in.addAll(g.subList(1, g.size()));
        }
        return s.graph().apply(this, in).outputs();
    }
}
