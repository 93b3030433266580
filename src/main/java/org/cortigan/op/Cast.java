// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/** The same numbers in another floating-point type, rounded to nearest. */
public record Cast(DType to) implements Op {
    @Override
    public String name() {
        return "cast";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(in.get(0).dtype().isFloat() && to.isFloat(), this, in, "cast from and to floating-point types only");
        return List.of(new Type(to, in.get(0).shape()));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return List.of(Ops.cast(dOut.get(0), n.input(0).dtype()));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 0);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).out("y", 0).i64("n", n.input(0).shape().elements()).type("type_y", to);
    }

    public static List<OpCase> cases() {
        return List.of(
                // A cast to bf16 rounds once, 2^-8 = 65536 * 2^-24, for every compute type.
                OpCase.of(
                        "cast 1003 to f32",
                        4,
                        g -> List.of(g.graph()
                                .apply(new Cast(DType.F32), g.normal(1003))
                                .output(0))),
                OpCase.of(
                        "cast 1003 to bf16",
                        1 << 16,
                        g -> List.of(g.graph()
                                .apply(new Cast(DType.BF16), g.normal(DType.F32, 1003))
                                .output(0))),
                OpCase.of(
                                "cast 64x39548 f32 to bf16",
                                4,
                                g -> List.of(Ops.cast(g.normal(DType.F32, 64, 39548), DType.BF16)))
                        .benchmark());
    }
}
