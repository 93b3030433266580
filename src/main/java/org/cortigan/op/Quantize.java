// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Fp8;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * A matrix in FP8, scaled by the magnitudes of earlier steps (delayed scaling). Inputs: x [R, C] in f32 or bf16, and
 * the tensor's state f32 [{@value #STATE_SIZE}]: 1/scale, scale, and the largest magnitudes of 16 steps. Outputs: y [R,
 * C] and its transpose [C, R], both in {@code format}; the largest magnitude of each tile of 64 x 64 elements, from
 * which {@link Fp8Scales} sets the scale of the next step; and, if {@code sums}, the sums of x over the rows of each
 * row of tiles.
 *
 * <p>The gradient passes through as if the matrix had not been rounded (straight-through estimator).
 */
record Quantize(Fp8 format, boolean sums) implements Op {
    /** Extents must be multiples of this: tensor cores multiply FP8 in chunks of 16 bytes. */
    static final int UNIT = 16;

    static final int STATE_SIZE = 18;
    static final Type STATE = Type.of(DType.F32, STATE_SIZE);

    private static final int TILE = 64;

    @Override
    public String name() {
        return "quantize";
    }

    /** The transpose of a matrix that an op of this class has quantised. */
    static Value transposed(Value y) {
        return y.node().output(1);
    }

    private static int tiles(int n) {
        return (n + TILE - 1) / TILE;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Value x = in.get(0);
        Op.require(x.shape().rank() == 2 && x.dtype().isFloat(), this, in, "x must be a matrix of f32 or bf16");
        int r = x.dim(0), c = x.dim(1);
        Op.require(r % UNIT == 0 && c % UNIT == 0, this, in, "the extents must be multiples of " + UNIT);
        Op.require(in.get(1).type().equals(STATE), this, in, "the state must be " + STATE);
        List<Type> out = new ArrayList<>(List.of(
                new Type(format.dtype(), x.shape()),
                new Type(format.dtype(), Shape.of(c, r)),
                new Type(DType.F32, Shape.of(tiles(r) * tiles(c)))));
        if (sums) out.add(new Type(DType.F32, Shape.of(tiles(r), c)));
        return out;
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return Arrays.asList(dOut.get(0), null);
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, n.input(0).shape().elements());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.in("x", 0).in("state", 1).out("y", 0).out("t", 1).out("maxima", 2);
        if (sums) w.out("sums", 3);
        else w.none("sums");
        w.i64("R", n.input(0).dim(0)).i64("C", n.input(0).dim(1)).choice("format", format);
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        for (Fp8 f : Fp8.values()) {
            c.add(of(f, 16, 16, 3, false));
            c.add(of(f, 80, 208, 0, true));
            c.add(of(f, 64, 128, -20, true));
            // Beyond the largest number: saturates.
            c.add(of(f, 48, 64, f.exponent(), false));
        }
        c.add(of(Fp8.E4M3, 25216, 768, 0, false).benchmark());
        c.add(of(Fp8.E5M2, 25216, 768, 0, true).benchmark());
        return c;
    }

    /** @param exponent of the scale */
    private static OpCase of(Fp8 format, int rows, int columns, int exponent, boolean sums) {
        String name = "quantize " + format + " " + rows + "x" + columns + " scale 2^" + exponent;
        return OpCase.of(name, TILE, g -> {
                    int n = CaseInputs.elements(rows, columns);
                    Value x = g.filled(g.compute(), r -> CaseInputs.gaussian(r, n), rows, columns);
                    return g.graph()
                            .apply(new Quantize(format, sums), x, state(g, exponent))
                            .outputs();
                })
                .scaled(16)
                .noGradient();
    }

    /** A state with a scale of 2^exponent and no history, for cases. */
    static Value state(CaseInputs g, int exponent) {
        return g.filled(DType.F32, r -> state(exponent), STATE_SIZE);
    }

    static float[] state(int exponent) {
        float[] f = new float[STATE_SIZE];
        f[0] = Math.scalb(1f, -exponent);
        f[1] = Math.scalb(1f, exponent);
        return f;
    }
}
