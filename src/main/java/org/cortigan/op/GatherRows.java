// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Gathers rows of a table [N, ...] of any type by an index i32[B] to [B, ...], for images and responses that live in
 * device memory. An index outside the table ends the run with an error. No gradient, since the tables are data.
 */
public record GatherRows() implements Op.OfData {
    @Override
    public String name() {
        return "gather_rows";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value i = in.get(1);
        Op.require(i.dtype() == DType.I32 && i.shape().rank() == 1, this, in, "the index must be i32[B]");
        return List.of(new Type(in.get(0).dtype(), in.get(0).shape().with(0, i.dim(0))));
    }

    @Override
    public Cost cost(Node n) {
        double moved = Op.bytes(n.output(0));
        return new Cost(0, moved + Op.bytes(n.input(1)), moved);
    }

    @Override
    public DType variant(Node n) {
        return n.input(0).dtype().isFloat() ? n.input(0).dtype() : DType.F32;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value t = n.input(0);
        int rows = t.dim(0);
        w.in("table", 0).in("index", 1).out("y", 0);
        w.i64("B", n.input(1).dim(0)).i64("N", rows).i64("C", t.shape().elements() / rows);
        w.i64("bytes", t.dtype().isFloat() ? 0 : t.dtype().bytes());
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.add(OpCase.of("gather_rows of 7x5", 1, g -> List.of(of(g.normal(7, 5), g.index(7, 11))))
                .noGradient());
        c.add(OpCase.of("gather_rows of 3x39548", 1, g -> List.of(of(g.normal(3, 39548), g.index(3, 2))))
                .noGradient());
        c.add(OpCase.of(
                        "gather_rows of 9x4x4x3 bytes",
                        4,
                        g -> List.of(Ops.normalize(
                                of(g.bytes(9, 4, 4, 3), g.index(9, 5)),
                                List.of(.5, .5, .5),
                                List.of(.5, .5, .5),
                                g.compute())))
                .noGradient());
        c.add(OpCase.of("gather_rows 32 of 256x39548", 1, g -> List.of(of(g.normal(256, 39548), g.index(256, 32))))
                .benchmark());
        return c;
    }

    private static Value of(Value table, Value index) {
        return table.graph().apply(new GatherRows(), table, index).output(0);
    }
}
