// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * One step of Adam or AdamW on any number of parameters, in place. Inputs: learning rate, step number and gradient norm
 * (f32[1] each), then for each parameter p, gradient, m, v (f32), its bf16 copy if it has one, its moving average if
 * {@code ema > 0}; all but the gradient are variables. A spectral gradient comes in the parts that
 * {@link SpectralNorm.Grad} would make it of: G in its place, the others behind the rest. Outputs for each: p, m, v,
 * copy, average after the step. Formulas: kernels/adam/adam.h.
 *
 * @param clip greatest gradient norm; 0 for none
 * @param ema decay of the moving average; 0 for none
 * @param decoupled weight decay as in AdamW; otherwise added to the gradient as in Adam
 */
public record Adam(double beta1, double beta2, double eps, double clip, double ema, boolean decoupled, List<Slot> slots)
        implements Op.Update {
    /**
     * What differs between parameters: weight decay, whether there is a bf16 copy, whether the gradient comes in parts.
     */
    public record Slot(double decay, boolean copy, boolean spectral) {}

    public Adam {
        slots = List.copyOf(slots);
    }

    @Override
    public String name() {
        return decoupled ? "adamw" : "adam";
    }

    /** Inputs of a parameter but for the parts of its gradient behind. */
    private int tensors(int slot) {
        return 4 + (slots.get(slot).copy ? 1 : 0) + (ema > 0 ? 1 : 0);
    }

    private int first(int slot) {
        int at = 3;
        for (int i = 0; i < slot; i++) at += tensors(i) + (slots.get(i).spectral ? SpectralNorm.Grad.PARTS - 1 : 0);
        return at;
    }

    /** Position among the outputs of a parameter's new value; its bf16 copy, if any, is 3 behind it. */
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
        for (int k = 0; k < slots.size(); k++) {
            Value p = in.get(first(k));
            for (int i = 1; i < tensors(k); i++) {
                Value x = in.get(first(k) + i);
                DType t = i == 4 && slots.get(k).copy ? DType.BF16 : DType.F32;
                // a gradient may have lost axes of extent 1
                Op.require(
                        x.dtype() == t && x.shape().elements() == p.shape().elements(),
                        this,
                        in,
                        "tensors of " + p + " differ");
                if (i > 1) out.add(x.type());
                else out.add(p.type());
            }
            if (slots.get(k).spectral)
                SpectralNorm.Grad.requireParts(this, in, in.get(first(k) + 1), first(k) + tensors(k));
        }
        return out;
    }

    @Override
    public int storage(int output) {
        int k = 0;
        while (k + 1 < slots.size() && output(k + 1) <= output) k++;
        int i = output - output(k);
        return first(k) + (i == 0 ? 0 : i + 1);
    }

    @Override
    public Cost cost(Node n) {
        double e = 0;
        for (int k = 0; k < slots.size(); k++)
            e += (slots.get(k).spectral ? 15.0 : 12.0)
                    * n.input(first(k)).shape().elements();
        return Op.cost(n, e);
    }

    @Override
    public String kernel() {
        return "adam";
    }

    @Override
    public DType variant(Node n) {
        return DType.F32;
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
            int at = first(k), behind = at + tensors(k);
            w.in("p", at).in("m", at + 2).in("v", at + 3);
            w.inOrNone("p16", slot.copy ? at + 4 : -1).inOrNone("ema", ema > 0 ? behind - 1 : -1);
            w.f64("decay", slot.decay);
            SpectralNorm.Grad.writeParts(n, w, "gradient.", at + 1, slot.spectral ? behind : -1);
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
                                                List.of(new Slot(0.1, full, false), new Slot(0, false, false)));
                                        return op.on(s, new int[] {n}, new int[] {5});
                                    })
                            // the copy is bf16 whatever the compute type: one rounding, 2^-8 = 65536 * 2^-24
                            .terms(full ? 1L << 16 : 32)
                            // m and v mix terms of a few standard deviations that may cancel
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
                                                        new Slot(0.1, full, true),
                                                        new Slot(0, false, false),
                                                        new Slot(0.1, false, true)))
                                        .on(s, size, new int[] {5}, new int[] {3, 7}))
                        // three roundings more in a gradient, six in its square
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
                            .apply(new Adam(0.9, 0.99, 1e-8, 1, 0, true, List.of(new Slot(0.1, false, false))), in)
                            .outputs();
                })
                .benchmark());
        return c;
    }

    /**
     * Spectrally normalised weights of the cases: one row, one column, rows in fours and not, more than a block and a
     * thread take.
     */
    static final int[][] SPECTRAL = {{1, 37}, {41, 1}, {131, 67}, {41, 3}, {20, 1032}, {300, 36}, {509, 131}};

    /** The parts of a spectral gradient [m, n] in a case, which is some standard deviations at most. */
    static List<Value> spectral(CaseInputs s, int m, int n) {
        return List.of(
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, m * n), m, n),
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, m), m),
                s.filled(DType.F32, r -> CaseInputs.gaussian(r, n), n),
                s.scalar(0.83),
                s.scalar(0.37));
    }

    /** A step of a case on parameters of these sizes. */
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
