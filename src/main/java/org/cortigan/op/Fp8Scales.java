// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.graph.DType;
import org.cortigan.graph.Fp8;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Ends a step for all tensors in FP8: each state takes the largest magnitude of the step into its history and gets the
 * scale of the next step. Inputs: a state (a variable) and the maxima of {@link Quantize}, for each tensor. Outputs:
 * the states.
 *
 * <p>The scale is the largest power of two that keeps the maximum of the history representable.
 */
record Fp8Scales(List<Fp8> formats) implements Op.Update {
    @Override
    public String name() {
        return "fp8_scales";
    }

    /**
     * Adds the end of a step for all tensors that the graph quantises, some of them more than once.
     *
     * @return the next states; empty if there are no such tensors
     */
    static List<Value> advance(Graph g) {
        Map<Value, List<Node>> uses = new LinkedHashMap<>();
        for (Node n : g.nodes())
            if (n.op() instanceof Quantize)
                uses.computeIfAbsent(n.input(1), s -> new ArrayList<>()).add(n);
        if (uses.isEmpty()) return List.of();
        List<Fp8> formats = new ArrayList<>();
        List<Value> in = new ArrayList<>();
        uses.forEach((state, nodes) -> {
            formats.add(((Quantize) nodes.get(0).op()).format());
            in.add(state);
            in.add(Ops.concat(0, nodes.stream().map(n -> n.output(2)).toArray(Value[]::new)));
        });
        return g.apply(new Fp8Scales(List.copyOf(formats)), in).outputs();
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.size() == 2 * formats.size(), this, in, "a state and maxima for each tensor");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 2) {
            Op.require(
                    in.get(i).type().equals(Quantize.STATE) && in.get(i + 1).dtype() == DType.F32,
                    this,
                    in,
                    "states must be " + Quantize.STATE + ", maxima f32");
            out.add(Quantize.STATE);
        }
        return out;
    }

    @Override
    public int storage(int output) {
        return 2 * output;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 0);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.rows(
                "rows",
                "n",
                formats.size(),
                i -> w.out("state", i)
                        .in("maxima", 2 * i + 1)
                        .i64("n", n.input(2 * i + 1).shape().elements())
                        .choice("format", formats.get(i)));
    }

    public static List<OpCase> cases() {
        return List.of(of("first step", 0, 1, 1), of("falls", 9, 0x1p-3, 70), of("rises", 0.1, 60, 1000), zeros());
    }

    /** States of both formats with a history up to {@code before}, and maxima up to {@code now}. */
    private static OpCase of(String name, double before, double now, int n) {
        return OpCase.of("fp8_scales " + name, 4, g -> {
                    List<Value> in = new ArrayList<>();
                    for (int i = 0; i < 2; i++) {
                        in.add(g.variable(
                                DType.F32,
                                r -> {
                                    float[] f = Quantize.state(0);
                                    for (int k = 2; k < Quantize.STATE_SIZE; k++)
                                        f[k] = (float) (r.nextDouble() * before);
                                    return f;
                                },
                                Quantize.STATE_SIZE));
                        in.add(g.filled(
                                DType.F32,
                                r -> {
                                    float[] f = new float[n];
                                    for (int k = 0; k < n; k++) f[k] = (float) (r.nextDouble() * now);
                                    return f;
                                },
                                n));
                    }
                    return g.graph()
                            .apply(new Fp8Scales(List.of(Fp8.values())), in)
                            .outputs();
                })
                .noGradient();
    }

    /** Without any magnitude the scale stays. */
    private static OpCase zeros() {
        return OpCase.of("fp8_scales of zeros", 4, g -> {
                    Value state = g.variable(DType.F32, r -> Quantize.state(5), Quantize.STATE_SIZE);
                    Value maxima = g.filled(DType.F32, r -> new float[3], 3);
                    return g.graph()
                            .apply(new Fp8Scales(List.of(Fp8.E4M3)), state, maxima)
                            .outputs();
                })
                .noGradient();
    }
}
