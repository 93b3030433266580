// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Standard normal numbers, the same bits on every device. Inputs: the key, i32 [2], and the counters of the rows, i32
 * [B, 2]. Output: f32 [B, n]. A row is a function of key, stream and its counters alone. Formula:
 * kernels/normal/normal.h.
 *
 * @param stream number of the sequence, 32 bits; other streams draw other numbers with the same key and counters
 * @param n numbers in a row
 */
record Normal(int stream, int n) implements Op.OfData {
    @Override
    public String name() {
        return "normal";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(
                in.size() == 2 && in.get(0).type().equals(Type.of(DType.I32, 2)),
                this,
                in,
                "takes a key i32[2] and the counters of the rows");
        int rows = in.get(1).dim(0);
        Op.require(in.get(1).type().equals(Type.of(DType.I32, rows, 2)), this, in, "counters must be i32[B, 2]");
        return List.of(Type.of(DType.F32, rows, n));
    }

    @Override
    public Cost cost(Node node) {
        return Op.cost(node, 20.0 * node.output(0).shape().elements());
    }

    @Override
    public void args(Node node, ArgWriter w) {
        w.in("key", 0).in("counters", 1).out("y", 0);
        w.i64("B", node.output(0).dim(0)).i64("V", n).i64("stream", stream);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (int[] size : new int[][] {{1, 1}, {2, 3}, {3, 17}, {5, 64}, {2, 1003}, {1, 39548}})
            // A root, a direction and their product, each within 3 ulps.
            c.add(OpCase.of("normal " + size[0] + "x" + size[1], 8, g -> of(g, size[0], size[1]))
                    .noGradient());
        c.add(OpCase.of("normal 16x39548", 8, g -> of(g, 16, 39548)).benchmark());
        return c;
    }

    private static List<Value> of(CaseInputs g, int rows, int n) {
        // Floats hold the words of the cases exactly up to 2^24.
        return List.of(Ops.normal(g.index(1 << 24, 2), g.index(1 << 24, rows, 2), 1, n));
    }
}
