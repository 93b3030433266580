// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.cortigan.TestModels;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.graph.DType;
import org.cortigan.model.ModelConfig;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Compares eight steps of tiny GANs with PyTorch's, for every kind of generator, readout and discriminator
 * (tools/golden_gans.py).
 */
@Tag("slow")
class GanTrajectoryTest {
    private static final int STEPS = 8;
    private static final List<Region> OVERLAPPING = List.of(
            new Region("a", new int[] {3, 4, 5, 6, 7, 15, 16}), new Region("b", new int[] {22, 0, 5, 4, 19}),
            new Region("c", new int[] {11}),
                    new Region("remainder", new int[] {1, 2, 8, 9, 10, 12, 13, 14, 17, 18, 20}));
    private static final List<Region> HEMISPHERES =
            Regions.of("hemisphere", Regions.Order.STORED, Trajectory.LEFT, Trajectory.RIGHT);
    private static final String[] VIT = {
        "generator.image=16",
        "generator.vit.patch=8",
        "generator.vit.width=16",
        "generator.vit.depth=3",
        "generator.vit.heads=2"
    };
    private static final String[] UNET = {
        "generator.type=unet",
        "generator.image=16",
        "generator.unet.channels=[4, 6, 8]",
        "generator.unet.groups=2",
        "generator.unet.decoder=1"
    };
    private static final String[] MLP = {"discriminator.mlp.hidden=[8, 4]"};

    private record Case(String name, List<Region> regions, String[] options) {
        static Case of(String name, List<Region> regions, Object... options) {
            List<String> all = new ArrayList<>();
            for (Object o : options) {
                if (o instanceof String[] several) all.addAll(Arrays.asList(several));
                else all.add((String) o);
            }
            return new Case(name, regions, all.toArray(new String[0]));
        }

        @Override
        public String toString() {
            return name;
        }
    }

    private static Stream<Case> cases() {
        return Stream.of(
                Case.of(
                        "vit_layers_position_patch",
                        OVERLAPPING,
                        VIT,
                        "generator.vit.layers=[1, 3]",
                        "generator.readout=position",
                        "generator.features=4",
                        "discriminator.type=patch",
                        "discriminator.conv.channels=[3, 2]",
                        "discriminator.conv.kernel=5",
                        "discriminator.conv.stride=1"),
                Case.of(
                        "vit_layers_dense_mlp",
                        OVERLAPPING,
                        VIT,
                        "generator.vit.layers=[2, 3]",
                        "generator.features=4",
                        MLP),
                Case.of(
                        "cnn_factorised_patch",
                        HEMISPHERES,
                        "generator.type=cnn",
                        "generator.image=16",
                        "generator.cnn.channels=[4, 6]",
                        "generator.readout=factorised",
                        "generator.features=4",
                        "discriminator.type=patch",
                        "discriminator.conv.channels=[3, 2]",
                        "discriminator.conv.kernel=5",
                        "discriminator.conv.stride=2",
                        "discriminator.weighting=vertices"),
                Case.of(
                        "unet_batch_position_mlp",
                        HEMISPHERES,
                        UNET,
                        "generator.unet.norm=batch",
                        "generator.readout=position",
                        "generator.features=4",
                        MLP,
                        "loss.pixel=smooth_l1"),
                Case.of(
                        "unet_group_dense_mlp",
                        HEMISPHERES,
                        UNET,
                        "generator.unet.norm=group",
                        "generator.unet.hidden=8",
                        MLP));
    }

    private static Trajectory.Outcome run(Case c, Device device, DType compute) {
        Recipe r = TestModels.recipe("loss.gan_weight=0.1");
        for (String o : c.options) r = r.with(o.startsWith("loss.") ? o : "model." + o);
        ModelConfig m = ModelConfig.of(
                r.section("model"), List.of(new ModelConfig.Subject("", Trajectory.LEFT, Trajectory.RIGHT)));
        return Trajectory.run(
                Trajectory.settings(m, r, compute),
                c.regions,
                device,
                Path.of("src/test/resources/models/gan_" + c.name + ".safetensors"),
                s -> losses(s, c.regions.size()));
    }

    /** The losses in the golden file's order. */
    private static double[] losses(Session s, int regions) {
        List<Double> all = new ArrayList<>();
        List<StepOutput> order = List.of(
                StepOutput.DISCRIMINATOR_LOSS,
                StepOutput.DISCRIMINATOR_NORM,
                StepOutput.PIXEL,
                StepOutput.CORRELATION,
                StepOutput.GENERATOR_LOSS,
                StepOutput.GENERATOR_NORM,
                StepOutput.LOSS);
        for (StepOutput o : order)
            for (int i = 0; i < (o.perRegion() ? regions : 1); i++)
                all.add(s.output(o.key()).get(i));
        return all.stream().mapToDouble(x -> x).toArray();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theDoubleReferenceMatchesPyTorch(Case c) {
        Trajectory.Outcome o = run(c, CpuDevice.doubleReference(), DType.F32);
        // both sides compute in double from the same decimal rates and weights, so eight updates differ only by
        // rounding
        for (double e : o.losses()) assertTrue(e < 1e-9, "losses differ by " + e);
        assertEquals(0, o.parameters(), 1e-9);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void floatKernelsStayNearPyTorch(Case c) {
        for (Device d : List.of(CpuDevice.best(2), new SimDevice(false))) {
            Trajectory.Outcome o = run(c, d, DType.F32);
            // the bounds of TrajectoryTest, which explains them
            assertTrue(o.losses()[0] < 1e-5, d.name() + ": first losses differ by " + o.losses()[0]);
            assertTrue(o.losses()[STEPS - 1] < 1e-2, d.name() + ": last losses differ by " + o.losses()[STEPS - 1]);
            assertTrue(o.parameters() < STEPS * 2e-3, d.name() + ": parameters differ by " + o.parameters());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void bf16ProductsStayNearPyTorch(Case c) {
        CpuDevice cpu = CpuDevice.best(2);
        Assumptions.assumeTrue(cpu.supportsBf16(), "this CPU has no avx512bf16");
        Trajectory.Outcome o = run(c, cpu, DType.BF16);
        // bf16 has 8 bits: products of a few layers are off by a few 2^-8
        assertTrue(o.losses()[0] < 0.1, "first losses differ by " + o.losses()[0]);
    }
}
