// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Normalises images u8 [B, H, W, 3] per colour as (x / 255 - mean) / std and divides them into patches of side P:
 * output [B, T, 3 P P], the elements of a patch in the order colour, row, column. If {@code patch} is 0, the output
 * keeps the layout [B, H, W, 3].
 *
 * @param patch side P in pixels, or 0
 * @param out element type of the output
 */
record Patchify(int patch, List<Double> mean, List<Double> std, DType out) implements Op.OfData {
    @Override
    public String name() {
        return patch == 0 ? "normalize" : "patchify";
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(
                x.dtype() == DType.U8 && x.shape().rank() == 4 && x.dim(3) == 3,
                this,
                in,
                "the images must be u8 [B, H, W, 3]");
        if (patch == 0) return List.of(new Type(out, x.shape()));
        Op.require(
                x.dim(1) % patch == 0 && x.dim(2) % patch == 0,
                this,
                in,
                "patches of " + patch + " pixels do not divide the image");
        return List.of(new Type(out, Shape.of(x.dim(0), x.dim(1) / patch * (x.dim(2) / patch), 3 * patch * patch)));
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 2.0 * n.output(0).shape().elements());
    }

    @Override
    public String kernel() {
        return "patchify";
    }

    @Override
    public DType variant(Node n) {
        return out;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Value x = n.input(0);
        w.in("x", 0).out("y", 0);
        w.i64("B", x.dim(0)).i64("H", x.dim(1)).i64("W", x.dim(2));
        w.i64("P", Math.max(patch, 1)).flag("planar", patch > 0);
        for (int c = 0; c < 3; c++) w.f64("mean[" + c + "]", mean.get(c)).f64("std[" + c + "]", std.get(c));
    }

    public static List<OpCase> cases() {
        OpCase large = OpCase.of(
                "patchify [8, 224, 224, 3] by 16",
                4,
                g -> List.of(Ops.patchify(
                        g.bytes(8, 224, 224, 3), 16, List.of(.5, .5, .5), List.of(.5, .5, .5), g.compute())));
        return List.of(
                of(1, 1, 1, 1), of(3, 6, 9, 3), of(2, 32, 32, 8), of(2, 32, 48, 16), of(2, 5, 7, 0), large.benchmark());
    }

    private static OpCase of(int batch, int height, int width, int patch) {
        String name = "patchify " + List.of(batch, height, width, patch);
        List<Double> mean = List.of(0.5, 0.4, 0.3), std = List.of(0.2, 0.3, 0.5);
        return OpCase.of(name, 4, g -> {
                    Value images = g.bytes(batch, height, width, 3);
                    return List.of(Ops.patchify(images, patch, mean, std, g.compute()));
                })
                .noGradient();
    }
}
