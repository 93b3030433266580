// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.ChannelNorm;
import org.cortigan.op.OpCase;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Compares the layers of Stable Diffusion's UNet with those of diffusers and PyTorch in double. */
class GoldenDiffusionTest {
    private static final Golden GOLDEN = new Golden(Path.of("src/test/resources/sd/sd_layers.safetensors"));

    private static final int GROUPS = 4;

    private static Value norm(double eps, Activation.Kind kind, Value... in) {
        return in[0].graph()
                .apply(new ChannelNorm(GROUPS, false, eps, new Activation(kind, 1)), in)
                .output(0);
    }

    private static Value conv(Value x, List<Value> in, int stride, int pad) {
        return Ops.conv2d(x, in.get(1), in.get(2), null, stride, stride, pad, pad);
    }

    @Test
    void activationsMatch() {
        GOLDEN.checkRounded("silu", 4, in -> Ops.activation(in.get(0), Activation.Kind.SWISH, 1));
        GOLDEN.checkRounded("quick_gelu", 4, in -> Ops.activation(in.get(0), Activation.Kind.SWISH, 1.702));
        GOLDEN.checkRounded("geglu", 6, in -> Ops.geglu(in.get(0)));
    }

    /** A group has 3 channels and 15 pixels. */
    @Test
    void groupNormWithSiluMatches() {
        for (double eps : new double[] {1e-5, 1e-6}) {
            String name = "group_norm_silu_" + (eps == 1e-5 ? "1e-05" : "1e-06");
            GOLDEN.checkRounded(name, 45 + 8, in -> norm(eps, Activation.Kind.SWISH, in.get(0), in.get(1), in.get(2)));
        }
        GOLDEN.checkRounded(
                "group_norm_shift_silu",
                45 + 8,
                in -> norm(1e-5, Activation.Kind.SWISH, in.get(0), in.get(2), in.get(3), in.get(1)));
    }

    /**
     * Here x is near 1 and its variance near eps, 1e-6, so that an error of x is multiplied by 1 / sqrt(2e-6) = 707
     * where it becomes one of h.
     */
    @Test
    void epsilonDecidesWhereTheVarianceIsSmall() {
        GOLDEN.checkRounded(
                "group_norm_small_variance",
                707 * 8,
                in -> norm(1e-6, Activation.Kind.LEAKY_RELU, in.get(0), in.get(1), in.get(2)));
    }

    /** A convolution sums 27 products, a gradient of its weight 24 or 96. */
    @Test
    void samplingByTwoMatches() {
        GOLDEN.checkRounded("conv_down_symmetric", 27, in -> conv(in.get(0), in, 2, 1));
        GOLDEN.checkRounded(
                "conv_down_asymmetric", 27, in -> conv(Ops.pad(Ops.pad(in.get(0), 1, 0, 1), 2, 0, 1), in, 2, 0));
        GOLDEN.checkRounded("upsample_conv", 96, in -> conv(Ops.upsample(in.get(0)), in, 1, 1));
    }

    /** Two heads; a score sums as many products as a head has elements, an output as many as there are tokens. */
    @Test
    void crossAttentionMatches() {
        for (String name : List.of("", "_40", "_80", "_160"))
            GOLDEN.checkRounded(
                    "cross_attention" + name,
                    160 + 77,
                    in -> Ops.attention(in.get(0), Ops.concat(2, in.get(1), in.get(2)), 2));
    }

    private static final OpCase LARGE_NEGATIVE = OpCase.of("SiLU of -300", 1, g -> {
        Value x = g.normal(2, 3, 20), gamma = g.normal(DType.F32, 20);
        Value beta = g.filled(DType.F32, r -> below(20), 20), alone = g.filled(g.compute(), r -> below(20), 20);
        return List.of(
                norm(1e-5, Activation.Kind.SWISH, x, gamma, beta), Ops.activation(alone, Activation.Kind.SWISH, 1));
    });

    private static float[] below(int n) {
        float[] f = new float[n];
        Arrays.fill(f, -300);
        return f;
    }

    /** Its exponential overflows in float; the result must be -0, of the op alone and after a normalisation. */
    @Test
    void siluOfLargeNegativeNumbersIsMinusZero() {
        CpuDevice best = CpuDevice.best(2);
        Stream<Device> cpus = Stream.of(CpuDevice.Isa.values())
                .filter(i -> i.ordinal() <= best.isa().ordinal())
                .map(i -> CpuDevice.of(i, 2));
        Stream.concat(cpus, Stream.of(new SimDevice(false))).forEach(d -> {
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                if (d.reference() || !d.supports(t)) continue;
                OpCheck.run(LARGE_NEGATIVE, t, d, Session.Options.DEFAULT, false, false)
                        .forEach((name, y) -> {
                            for (float v : y) assertEquals(-0.0f, v, d.name() + " " + t + " " + name);
                        });
            }
        });
    }
}
