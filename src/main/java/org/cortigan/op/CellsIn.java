// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Lays vertices on a grid of cells: h[b, cell] = sum over the vertices v of the cell of x[b, v] e[v]. It is the adjoint
 * of {@link PositionReadout} at fixed points, and computed by the kernels of that op. Inputs: x [B, V]; embeddings e
 * [V, K] of x's type; position f32 [V, 2], x then y in -1..1 as in {@link PositionReadout}, in the cell nearest to
 * which the vertex lies. Output: h [B, H, W, K]. The position has no gradient.
 *
 * @param height cells of the grid's height H
 * @param width cells of the grid's width W
 */
record CellsIn(int height, int width) implements Op {
    @Override
    public String name() {
        return "cells_in";
    }

    @Override
    public String kernel() {
        return "position_readout_grad";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0), e = in.get(1);
        Op.require(in.size() == 3 && x.shape().rank() == 2 && x.dtype().isFloat(), this, in, "x must be [B, V]");
        int v = x.dim(1);
        Op.require(
                e.shape().rank() == 2 && e.dim(0) == v && e.dtype() == x.dtype(),
                this,
                in,
                "e must be [V, K] of x's type");
        Op.require(in.get(2).type().equals(Type.of(DType.F32, v, 2)), this, in, "position must be f32[V, 2]");
        return List.of(Type.of(x.dtype(), x.dim(0), height, width, e.dim(1)));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Graph g = n.graph();
        Value x = n.input(0), e = n.input(1), position = n.input(2);
        Value map = Ops.reshape(dOut.get(0), x.dim(0), 1, height, width, e.dim(1));
        Value bias = g.constant(0, DType.F32, x.dim(1));
        return Arrays.asList(
                wanted[0]
                        ? g.apply(new PositionReadout(true), map, position, e, bias)
                                .output(0)
                        : null,
                wanted[1]
                        ? g.apply(new PositionReadout.Grad(true, List.of(PositionReadout.Part.W)), x, map, position, e)
                                .output(0)
                        : null,
                null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * n.input(0).dim(0) * n.input(1).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("dY", 0).none("x").in("position", 2).in("w", 1);
        w.out("dX", 0).none("dPosition").none("dw").none("dbias").scratch("scratch");
        Value x = n.input(0), e = n.input(1);
        PositionReadout.extents(w, Shape.of(x.dim(0), 1, height, width, e.dim(1)), x.dim(1), true);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.add(of(1, 1, 1, 1, 1));
        c.add(of(3, 2, 3, 5, 17));
        c.add(of(13, 4, 4, 48, 5));
        c.add(of(5, 8, 8, 33, 300));
        c.add(of(2, 32, 32, 3, 4001).noGradient());
        c.add(of(32, 16, 16, 32, 8000).benchmark());
        c.add(of(16, 64, 64, 320, 39548).benchmark());
        return c;
    }

    private static OpCase of(int batch, int height, int width, int channels, int vertices) {
        String name = "cells_in " + batch + "x" + height + "x" + width + "x" + channels + ", " + vertices;
        // All vertices may lie in one cell.
        return OpCase.of(name, vertices + 8L, g -> {
            Value x = g.normal(batch, vertices), e = g.normal(vertices, channels);
            Value p = g.filled(DType.F32, r -> cells(r, vertices, height, width), vertices, 2);
            return List.of(Ops.cellsIn(x, e, p, height, width));
        });
    }

    /** Vertex v lies in cell v H W / V of the rows one after another, except a few that lie anywhere. */
    private static float[] cells(SplittableRandom r, int n, int height, int width) {
        float[] f = new float[2 * n];
        for (int v = 0; v < n; v++) {
            int cell = r.nextInt(8) == 0 ? r.nextInt(height * width) : (int) ((long) v * height * width / n);
            int column = cell % width, row = cell / width;
            f[2 * v] = (float) ((2.0 * column + 1) / width - 1);
            f[2 * v + 1] = (float) ((2.0 * row + 1) / height - 1);
        }
        return f;
    }
}
