package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/** Euclidean norm of all its inputs (f32) together, as one f32: what clipping by global norm looks at. */
public record GradNorm() implements Op {
    @Override
    public String name() {
        return "grad_norm";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        for (Value v : in) Op.require(v.dtype() == DType.F32, this, in, "gradients must be f32");
        return List.of(Type.of(DType.F32, 1));
    }

    @Override
    public Cost cost(Node n) {
        double e = 0;
        for (Value v : n.inputs()) e += v.shape().elements();
        return Op.cost(n, 2 * e);
    }

    @Override
    public String kernel() {
        return "grad_norm";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.out(0).scratch().rows(n.inputs().size(), i -> w.in(i).i64(n.input(i).shape().elements()));
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int n : new int[] {1, 17, 39548, 200_003})
            c.add(OpCase.of("grad_norm " + n, 4096 / 4 + 16, g -> List.of(g.graph()
                            .apply(new GradNorm(), g.normal(DType.F32, n), g.normal(DType.F32, 3, 5))
                            .output(0)))
                    .noGradient());
        c.add(OpCase.of("grad_norm 8000000", 1, g -> g.graph().apply(new GradNorm(), g.normal(DType.F32, 8_000_000)).outputs())
                .benchmark());
        return c;
    }
}
