// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Fp8;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Half;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Conversions to FP8 against the double reference, over all numbers of bf16, and the numbers of the formats. */
class Fp8Test {
    private static final int SIDE = 256;
    private static final float[] IDENTITY = state(0);

    private static float[] state(int exponent) {
        float[] f = new float[Math.toIntExact(Ops.fp8State().shape().elements())];
        f[0] = Math.scalb(1f, -exponent);
        f[1] = Math.scalb(1f, exponent);
        return f;
    }

    /** A matrix of all bf16 numbers; those that are not finite only if asked for. */
    private static float[] everyNumber() {
        float[] f = new float[SIDE * SIDE];
        for (int i = 0; i < f.length; i++) f[i] = Half.fromBf16((short) i);
        return f;
    }

    /** The result of a linear layer, and what the conversion of its input leaves, by the layer's own nodes. */
    private static float[][] quantized(Device d, float[] x, int exponent) {
        Graph g = new Graph();
        Value w = g.input("w", DType.BF16, 16, SIDE);
        Ops.Fp8States s = new Ops.Fp8States(
                g.variable("input", DType.F32, IDENTITY.length),
                g.variable("weight", DType.F32, IDENTITY.length),
                g.variable("gradient", DType.F32, IDENTITY.length));
        Value y = Ops.linearFp8(g.input("x", DType.BF16, SIDE, SIDE), w, s, null, null, null, DType.BF16);
        Value a = y.node().input(0);
        g.output("a", a);
        g.output("t", a.node().output(1));
        g.output("maxima", a.node().output(2));
        g.output("y", y);
        List<Value> next = Ops.advanceFp8(g);
        g.output("state", next.get(0));
        try (Variables v = new Variables(d)) {
            for (String name : List.of("input", "weight", "gradient"))
                v.get(name, Ops.fp8State()).write(name.equals("input") ? state(exponent) : IDENTITY);
            try (Session session = new Session(g, d, v)) {
                session.input("x").write(x);
                session.input("w").write(new float[16 * SIDE]);
                session.run();
                return new float[][] {
                    session.output("a").toFloats(),
                    session.output("t").toFloats(),
                    session.output("maxima").toFloats(),
                    session.output("state").toFloats()
                };
            }
        }
    }

    @Test
    void everyNumberIsRoundedAsByTheReference() {
        float[] x = everyNumber();
        for (int exponent : new int[] {0, -3, 20}) {
            float[][] want = quantized(CpuDevice.doubleReference(), x, exponent);
            for (Device d : List.of(CpuDevice.best(2), new SimDevice(false))) {
                float[][] got = quantized(d, x, exponent);
                for (int k = 0; k < want.length; k++) assertArrayEquals(want[k], got[k], d.name() + " " + k);
            }
            for (int i = 0; i < x.length; i++) {
                float scaled = Math.scalb(x[i], exponent), y = want[0][i];
                if (Float.isNaN(x[i])) assertTrue(Float.isNaN(y));
                else if (Math.abs(scaled) >= 448) assertEquals(Math.copySign(448, x[i]), y);
                else assertEquals(scaled, y, Math.max(Math.abs(scaled) * 0x1p-4, 0x1p-10), "x " + x[i]);
                assertEquals(y, want[1][i % SIDE * SIDE + i / SIDE], "the transpose");
            }
        }
    }

    /** Result and gradients of a linear layer of integers, which both formats hold. */
    private static float[][] linear(Device d, boolean fp8) {
        int m = 48, n = 32, k = 80;
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, m, k), w = g.input("w", DType.F32, n, k);
        Value b = g.input("b", DType.F32, n), dY = g.input("dY", DType.F32, m, n);
        Ops.Fp8States s = new Ops.Fp8States(
                g.variable("input", DType.F32, IDENTITY.length),
                g.variable("weight", DType.F32, IDENTITY.length),
                g.variable("gradient", DType.F32, IDENTITY.length));
        Value y = fp8 ? Ops.linearFp8(x, w, s, b, null, null, DType.F32) : Ops.linear(x, w, b, null, null, DType.F32);
        List<Value> out = new ArrayList<>(List.of(y));
        out.addAll(Gradients.of(List.of(y), List.of(dY), List.of(x, w, b)));
        for (int i = 0; i < out.size(); i++) g.output("o" + i, out.get(i));
        try (Variables v = new Variables(d)) {
            v.get("input", Ops.fp8State()).write(state(3));
            v.get("weight", Ops.fp8State()).write(state(-1));
            v.get("gradient", Ops.fp8State()).write(state(5));
            try (Session session = new Session(g, d, v)) {
                session.input("x").write(integers(m * k, 17));
                session.input("w").write(integers(n * k, 13));
                session.input("b").write(integers(n, 7));
                session.input("dY").write(integers(m * n, 5));
                session.run();
                float[][] f = new float[out.size()][];
                for (int i = 0; i < f.length; i++)
                    f[i] = session.output("o" + i).toFloats();
                return f;
            }
        }
    }

    /** Integers around 0, {@code count} different ones. */
    private static float[] integers(int n, int count) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = i * 31 % 101 % count - count / 2;
        return f;
    }

    @Test
    void withoutRoundingResultAndGradientsAreThoseOfALinearLayer() {
        float[][] want = linear(CpuDevice.doubleReference(), false);
        for (Device d : List.of(CpuDevice.doubleReference(), CpuDevice.best(2), new SimDevice(false))) {
            float[][] got = linear(d, true);
            for (int i = 0; i < want.length; i++) assertArrayEquals(want[i], got[i], d.name() + " " + i);
        }
    }

    @Test
    void aStepThatIsNotFiniteChangesNoState() {
        for (Device d : List.of(CpuDevice.doubleReference(), CpuDevice.best(2), new SimDevice(false)))
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
                float[] x = new float[SIDE * SIDE];
                x[12345] = bad;
                assertArrayEquals(state(3), quantized(d, x, 3)[3], d.name());
                x[12345] = -3;
                float[] want = state(7); // 3 * 2^7 = 384
                want[want.length - 1] = 3;
                assertArrayEquals(want, quantized(d, x, 3)[3], d.name());
            }
    }

    @Test
    void numbersOfTheFormats() {
        assertEquals(448, Fp8.E4M3.decode((byte) 0x7e));
        assertEquals(-0x1p-9f, Fp8.E4M3.decode((byte) 0x81));
        assertEquals(1, Fp8.E4M3.decode((byte) 0x38));
        assertTrue(Float.isNaN(Fp8.E4M3.decode((byte) 0xff)));
        assertEquals(57344, Fp8.E5M2.decode((byte) 0x7b));
        assertEquals(0x1p-16f, Fp8.E5M2.decode((byte) 1));
        assertEquals(Float.NEGATIVE_INFINITY, Fp8.E5M2.decode((byte) 0xfc));
        assertTrue(Float.isNaN(Fp8.E5M2.decode((byte) 0x7d)));
        for (Fp8 f : Fp8.values()) assertEquals(f, Fp8.of(f.dtype()));
        assertThrows(IllegalArgumentException.class, () -> Fp8.of(DType.BF16));
    }
}
