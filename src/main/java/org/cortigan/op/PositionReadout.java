// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Readout of the feature maps of L layers at a learned position of each vertex (Lurz et al. 2021): y[b, v] = sum_lc
 * w[v, l C + c] bilinear(x[b, l], position[v])[c] + bias[v]. Formulas: kernels/position_readout.
 *
 * <p>Inputs: x [B, L, H, W, C]; position f32 [V, 2] (x then y in -1..1, as in torch's grid_sample with align_corners
 * false and border padding); w [V, L * C] of x's type; bias f32[V]. Output: y [B, V].
 *
 * @param fixed whether a vertex reads the pixel nearest to its position alone, and the position has no gradient
 */
public record PositionReadout(boolean fixed) implements Op {
    /** The readout at learned positions. */
    public PositionReadout() {
        this(false);
    }

    @Override
    public String name() {
        return "position_readout";
    }

    /**
     * Writes the extents of the kernels.
     *
     * @param maps [B, L, H, W, C]
     */
    static void extents(ArgWriter w, Shape maps, int vertices, boolean fixed) {
        w.i64("B", maps.dim(0))
                .i64("L", maps.dim(1))
                .i64("H", maps.dim(2))
                .i64("W", maps.dim(3))
                .i64("C", maps.dim(4));
        w.i64("V", vertices).flag("fixed", fixed);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0), p = in.get(1);
        Op.require(
                in.size() == 4 && x.shape().rank() == 5 && x.dtype().isFloat(), this, in, "x must be [B, L, H, W, C]");
        int v = p.dim(0);
        Op.require(p.type().equals(Type.of(DType.F32, v, 2)), this, in, "position must be f32[V, 2]");
        Type w = Type.of(x.dtype(), v, Math.multiplyExact(x.dim(1), x.dim(4)));
        Op.require(in.get(2).type().equals(w), this, in, "w [V, L * C] must be " + w);
        Op.require(in.get(3).type().equals(Type.of(DType.F32, v)), this, in, "bias must be f32[" + v + "]");
        return List.of(Type.of(x.dtype(), x.dim(0), v));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        List<Part> parts = Arrays.stream(Part.values())
                .filter(p -> wanted[p.ordinal()] && !(fixed && p == Part.POSITION))
                .toList();
        List<@Nullable Value> all = new ArrayList<>(Collections.nCopies(wanted.length, null));
        if (parts.isEmpty()) return all;
        Node grad = n.graph().apply(new Grad(fixed, parts), dOut.get(0), n.input(0), n.input(1), n.input(2));
        for (int i = 0; i < parts.size(); i++) all.set(parts.get(i).ordinal(), grad.output(i));
        return all;
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(
                n, (fixed ? 2.0 : 10.0) * n.input(0).dim(0) * n.input(2).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("position", 1).in("w", 2).in("bias", 3).out("y", 0).scratch("scratch");
        extents(w, n.input(0).shape(), n.input(1).dim(0), fixed);
    }

    /** The gradients of the inputs, in the order of the inputs. */
    enum Part {
        X("dX"),
        POSITION("dPosition"),
        W("dw"),
        BIAS("dbias");

        private final String member;

        Part(String member) {
            this.member = member;
        }
    }

    /**
     * Gradients of {@link PositionReadout}. Inputs: dY, x, position, w. Outputs: the parts; all but dX are f32.
     *
     * @param parts the gradients to compute
     */
    record Grad(boolean fixed, List<Part> parts) implements Op.Gradient {
        Grad {
            parts = List.copyOf(parts);
        }

        @Override
        public String name() {
            return "position_readout_grad";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Value x = in.get(1), p = in.get(2);
            Op.require(
                    in.get(0).type().equals(Type.of(x.dtype(), x.dim(0), p.dim(0))),
                    this,
                    in,
                    "dY must be [B, V] of x's type");
            return parts.stream()
                    .map(part -> switch (part) {
                        case X -> x.type();
                        case POSITION -> p.type();
                        case W -> new Type(DType.F32, in.get(3).shape());
                        case BIAS -> Type.of(DType.F32, p.dim(0));
                    })
                    .toList();
        }

        @Override
        public Cost cost(Node n) {
            boolean byMaps = parts.contains(Part.X), byVertex = parts.contains(Part.W) || parts.contains(Part.POSITION);
            double products = n.input(1).dim(0) * (double) n.input(3).shape().elements();
            double flops = (byMaps ? fixed ? 2 : 8 : 0) + (byVertex ? fixed ? 2 : 10 : 0);
            Cost once = Op.cost(n, flops * products);
            double again = byMaps && !fixed ? 4 * Op.bytes(n.input(3)) : 0;
            double unread = (byVertex ? 0 : Op.bytes(n.input(1))) + (byMaps ? 0 : Op.bytes(n.input(3)));
            return new Cost(once.flops(), once.bytesRead() + again - unread, once.bytesWritten());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.in("dY", 0).in("x", 1).in("position", 2).in("w", 3).scratch("scratch");
            for (Part part : Part.values()) {
                int output = parts.indexOf(part);
                if (output >= 0) w.out(part.member, output);
                else w.none(part.member);
            }
            extents(w, n.input(1).shape(), n.input(2).dim(0), fixed);
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                of(1, 1, 1, 1, 1, 1),
                of(3, 2, 2, 3, 5, 7),
                of(2, 1, 5, 4, 33, 37),
                of(13, 3, 3, 3, 48, 19),
                of(2, 1, 7, 7, 3, 39548).noGradient(),
                of(8, 4, 14, 14, 128, 39548).benchmark(),
                fixed(3, 2, 2, 3, 5, 7),
                fixed(13, 1, 1, 4, 48, 300),
                fixed(32, 1, 1, 16, 128, 39548).benchmark());
    }

    /** Points within a quarter of a pixel of a pixel. */
    private static OpCase fixed(int batch, int layers, int height, int width, int channels, int vertices) {
        String name = "position_readout fixed " + batch + "x" + layers + "x" + height + "x" + width + "x" + channels
                + ", " + vertices;
        return OpCase.of(name, (long) layers * channels + 8, g -> {
            Value x = g.normal(batch, layers, height, width, channels);
            Value p = g.filled(DType.F32, r -> pixels(r, vertices, width, height), vertices, 2);
            Value w = g.normal(vertices, layers * channels), bias = g.normal(DType.F32, vertices);
            return List.of(
                    g.graph().apply(new PositionReadout(true), x, p, w, bias).output(0));
        });
    }

    private static float[] pixels(SplittableRandom r, int n, int width, int height) {
        float[] f = new float[2 * n];
        for (int i = 0; i < 2 * n; i++) {
            int size = i % 2 == 0 ? width : height;
            f[i] = (float) ((2 * (r.nextInt(size) + r.nextDouble(-0.25, 0.25)) + 1) / size - 1);
        }
        return f;
    }

    private static OpCase of(int batch, int layers, int height, int width, int channels, int vertices) {
        String name = "position_readout " + batch + "x" + layers + "x" + height + "x" + width + "x" + channels + ", "
                + vertices;
        // The error of a position within a pixel scales with the position on the map: H and W count as terms.
        return OpCase.of(name, 4L * layers * channels * (height + width) + 8, g -> {
            Value x = g.normal(batch, layers, height, width, channels);
            Value p = g.perturbed(DType.F32, r -> points(r, vertices, width, height), vertices, 2);
            Value w = g.normal(vertices, layers * channels), bias = g.normal(DType.F32, vertices);
            return List.of(g.graph().apply(new PositionReadout(), x, p, w, bias).output(0));
        });
    }

    /** Positions in all pixels and beyond the border, at least a tenth of a pixel from any jump of the derivative. */
    private static float[] points(SplittableRandom r, int n, int width, int height) {
        float[] f = new float[2 * n];
        for (int i = 0; i < 2 * n; i++) {
            int size = i % 2 == 0 ? width : height;
            double pixel = r.nextInt(size + 1) - 1 + 0.1 + 0.8 * r.nextDouble();
            f[i] = (float) ((2 * pixel + 1) / size - 1);
        }
        return f;
    }
}
