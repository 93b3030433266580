// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Half;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.OpCase;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The error of the CUDA kernels' GELU in bf16, over all bf16 numbers. What exceeds the rounding to bf16 of the result
 * must be far below that rounding, 2^-9, also in the tail, where results are small.
 */
@Tag("slow")
class ActivationTest {
    private static final int NUMBERS = 1 << 16;

    /** The slope of GELU is zero at -0.7518; between these numbers it has no relative precision. */
    private static final double ZERO_FROM = -0.76, ZERO_TO = -0.74;

    private static float x(int i) {
        return Half.fromBf16((short) i);
    }

    /** Upstream gradients with all mantissas of bf16, so that products meet every distance to a rounding boundary. */
    private static float dY(int i) {
        return 1 + i * 37 % 128 / 128f;
    }

    private static final OpCase EVERY_NUMBER = OpCase.of("every number", 1, g -> {
        Value x = g.filled(g.compute(), r -> numbers(ActivationTest::x), NUMBERS);
        Value dY = g.filled(g.compute(), r -> numbers(ActivationTest::dY), NUMBERS);
        Value y = Ops.activation(x, Activation.Kind.GELU, 0);
        return List.of(y, Gradients.of(List.of(y), List.of(dY), List.of(x)).get(0));
    });

    private interface Numbers {
        float at(int i);
    }

    private static float[] numbers(Numbers f) {
        float[] all = new float[NUMBERS];
        for (int i = 0; i < NUMBERS; i++) all[i] = f.at(i);
        return all;
    }

    private static float[] want(String output) {
        return run(CpuDevice.doubleReference(), output);
    }

    private static float[] got(String output, int ulps) {
        SimDevice sim = new SimDevice(false);
        try (SimDevice.Errors errors = sim.erring(ulps)) {
            return run(sim, output);
        }
    }

    private static float[] run(Device d, String output) {
        return OpCheck.run(EVERY_NUMBER, DType.BF16, d, Session.Options.DEFAULT, false, false)
                .get(output);
    }

    /** @param ulps by how much approximate functions err in the simulation */
    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void geluIsExactToTheRounding(int ulps) {
        float[] want = want("y0"), got = got("y0", ulps);
        for (int i = 0; i < NUMBERS; i++) {
            double bound = 0x1p-16 * Math.abs(want[i]) + 0x1p-126;
            check(x(i), want[i], got[i], bound);
            assertEquals(Math.signum(1 / want[i]), Math.signum(1 / got[i]), "sign of GELU at " + x(i));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void slopeOfGeluIsExactToTheRounding(int ulps) {
        float[] want = want("y1"), got = got("y1", ulps);
        for (int i = 0; i < NUMBERS; i++) {
            double relative = x(i) > ZERO_FROM && x(i) < ZERO_TO ? 1 : 0x1p-12 * Math.abs(want[i]);
            check(x(i), want[i], got[i], Math.min(relative, 0x1p-18 * dY(i)) + 0x1p-121);
        }
    }

    private static void check(float x, double want, double got, double bound) {
        if (want == got || Double.isNaN(want) && Double.isNaN(got)) return;
        double rounding = Math.max(Math.scalb(1.0, Math.getExponent(want) - 8), 0x1p-134);
        double error = Math.abs(got - want);
        assertTrue(
                error <= rounding + bound,
                () -> "at " + x + ": " + got + " instead of " + want + ", off by the rounding to bf16 and "
                        + (error - rounding) + ", at most " + bound);
    }
}
