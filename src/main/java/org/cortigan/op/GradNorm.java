// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Global Euclidean norm f32[1] of any number of f32 gradients, for clipping. Inputs for each: the gradient, or the five
 * factors of {@link SpectralNorm.Grad} for a spectral one.
 *
 * @param spectral for each gradient, whether it arrives as factors
 */
public record GradNorm(List<Boolean> spectral) implements Op.Gradient {
    public GradNorm {
        spectral = List.copyOf(spectral);
    }

    /** @param gradients the factors of each, from {@link SpectralNorm#gradientParts} */
    public static Value of(List<List<Value>> gradients) {
        List<Value> in = new ArrayList<>();
        gradients.forEach(in::addAll);
        return in.get(0)
                .graph()
                .apply(new GradNorm(gradients.stream().map(g -> g.size() > 1).toList()), in)
                .output(0);
    }

    @Override
    public String name() {
        return "grad_norm";
    }

    private int first(int gradient) {
        int at = 0;
        for (int i = 0; i < gradient; i++) at += spectral.get(i) ? SpectralNorm.Grad.PARTS : 1;
        return at;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.size() == first(spectral.size()), this, in, "wrong number of inputs");
        for (Value v : in) Op.require(v.dtype() == DType.F32, this, in, "gradients must be f32");
        for (int i = 0; i < spectral.size(); i++)
            if (spectral.get(i)) SpectralNorm.Grad.requireParts(this, in, in.get(first(i)), first(i) + 1);
        return List.of(Type.of(DType.F32, 1));
    }

    @Override
    public Cost cost(Node n) {
        double flops = 0;
        for (int i = 0; i < spectral.size(); i++)
            flops += (spectral.get(i) ? 5.0 : 2.0) * n.input(first(i)).shape().elements();
        return Op.cost(n, flops);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.out("norm", 0).scratch("scratch");
        w.rows(
                "rows",
                "n",
                spectral.size(),
                i -> SpectralNorm.Grad.writeParts(n, w, "", first(i), spectral.get(i) ? first(i) + 1 : -1));
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int n : new int[] {1, 17, 39548, 200_003})
            c.add(OpCase.of(
                            "grad_norm " + n,
                            4096 / 4 + 16,
                            g -> List.of(
                                    of(List.of(List.of(g.normal(DType.F32, n)), List.of(g.normal(DType.F32, 3, 5))))))
                    .noGradient());
        // Factored gradients round each element three times more.
        for (int[] s : Adam.SPECTRAL)
            c.add(OpCase.of(
                            "grad_norm spectral " + s[0] + "x" + s[1],
                            4096 / 4 + 16 + 6,
                            g -> List.of(of(List.of(
                                    Adam.spectral(g, s[0], s[1]),
                                    List.of(g.normal(DType.F32, 7)),
                                    Adam.spectral(g, 3, 5)))))
                    .noGradient());
        c.add(OpCase.of("grad_norm 8000000", 1, g -> List.of(of(List.of(List.of(g.normal(DType.F32, 8_000_000))))))
                .benchmark());
        return c;
    }
}
