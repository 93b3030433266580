package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.cortigan.TestModels;
import org.cortigan.data.Region;
import org.cortigan.data.Regions;
import org.cortigan.data.SafeTensors;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.SimDevice;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.loss.LossConfig;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;
import org.cortigan.optim.Optimizer;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Eight steps of tiny GANs of every kind of generator, readout and discriminator against PyTorch (tools/golden_gans.py). */
class GanTrajectoryTest {
    private static final int LEFT = 10, RIGHT = 13, V = LEFT + RIGHT, BATCH = 6, STEPS = 8;
    private static final List<Region> OVERLAPPING = List.of(
            new Region("a", new int[] {3, 4, 5, 6, 7, 15, 16}), new Region("b", new int[] {22, 0, 5, 4, 19}),
            new Region("c", new int[] {11}), new Region("remainder", new int[] {1, 2, 8, 9, 10, 12, 13, 14, 17, 18, 20}));
    private static final List<Region> HEMISPHERES = Regions.of("hemisphere", Regions.Order.STORED, LEFT, RIGHT);
    private static final String[] VIT = {"generator.image=16", "generator.patch=8", "generator.width=16", "generator.depth=3", "generator.heads=2"};
    private static final String[] UNET = {"generator.type=unet", "generator.image=16", "generator.channels=[4, 6, 8]", "generator.groups=2", "generator.decoder=1"};
    private static final String[] MLP = {"discriminator.hidden=[8, 4]"};

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
                Case.of("vit_layers_position_patch", OVERLAPPING, VIT, "generator.layers=[1, 3]", "generator.readout=position", "generator.features=4",
                        "discriminator.type=patch", "discriminator.channels=[3, 2]", "discriminator.kernel=5", "discriminator.stride=1"),
                Case.of("vit_layers_dense_mlp", OVERLAPPING, VIT, "generator.layers=[2, 3]", "generator.features=4", MLP),
                Case.of("cnn_factorised_patch", HEMISPHERES, "generator.type=cnn", "generator.image=16", "generator.channels=[4, 6]",
                        "generator.readout=factorised", "generator.features=4", "discriminator.type=patch", "discriminator.channels=[3, 2]",
                        "discriminator.kernel=5", "discriminator.stride=2", "discriminator.weighting=vertices"),
                Case.of("unet_batch_position_mlp", HEMISPHERES, UNET, "generator.norm=batch", "generator.readout=position", "generator.features=4", MLP,
                        "loss.pixel=smooth_l1"),
                Case.of("unet_group_dense_mlp", HEMISPHERES, UNET, "generator.norm=group", "generator.hidden=8", MLP));
    }

    private static Optimizer adamw(double rate, double beta1) {
        return new Optimizer(true, rate, beta1, 0.999, 1e-8, 0.05, 1, 0, Optimizer.Schedule.CONSTANT, 0, 1);
    }

    /** Greatest relative differences of the losses step by step, and of parameters and states at the end. */
    private record Outcome(double[] losses, double parameters) {}

    private static Outcome run(Case c, Device device, DType compute) {
        Recipe r = TestModels.recipe();
        for (String o : c.options) r = r.with(o.startsWith("loss.") ? o : "model." + o);
        r = r.with("loss.gan_weight=0.1");
        ModelConfig.Subject subject = new ModelConfig.Subject("", LEFT, RIGHT);
        ModelConfig m = ModelConfig.of(r.section("model"), List.of(subject));
        StepGraph graph = new StepGraph(
                m, subject, c.regions, LossConfig.of(r.section("loss")), adamw(1e-3, 0.9), adamw(2e-3, 0.5), BATCH, compute, 0);
        List<Weights.Spec> specs = new ArrayList<>(graph.generatorSpecs());
        specs.addAll(graph.discriminatorSpecs());
        try (SafeTensors t = SafeTensors.open(Path.of("src/test/resources/models/gan_" + c.name + ".safetensors"));
                Variables vars = new Variables(device);
                Session session = new Session(graph.graph(), device, vars)) {
            long named = t.names().stream().filter(n -> n.startsWith("before.") && !n.endsWith(".u") && !n.endsWith(".v")).count();
            assertEquals(named, specs.size(), "every parameter has its place");
            for (Weights.Spec s : specs) {
                float[] f = t.floats("before." + s.name());
                vars.find(s.name()).write(f);
                if (s.copy()) vars.find(Weights.copyName(s.name())).write(f);
                if (!s.spectral()) continue;
                float[] u = t.floats("before." + s.name() + ".u"), v = t.floats("before." + s.name() + ".v");
                double sigma = 0;
                for (int i = 0; i < f.length; i++) sigma += (double) u[i / v.length] * f[i] * v[i % v.length];
                vars.find(s.name() + ".u").write(u);
                vars.find(s.name() + ".v").write(v);
                vars.find(s.name() + ".s").set(0, 1 / sigma);
            }
            for (Weights.Spec s : graph.states()) vars.find(s.name()).write(s.init().make(s.shape(), 0, s.name()));
            ByteBuffer images = ByteBuffer.allocate(STEPS * BATCH * 16 * 16 * 3);
            t.read("images", images);
            float[] responses = t.floats("responses");
            double[] want = doubles(t, "losses"), worst = new double[STEPS];
            session.input("loss.weights").fill(1);
            session.input("gan.weight").fill(0.1);
            session.input("lr.g").fill(1e-3);
            session.input("lr.d").fill(2e-3);
            for (int s = 0; s < STEPS; s++) {
                session.input("images").write(ByteBuffer.wrap(images.array(), s * BATCH * 768, BATCH * 768));
                session.input("responses").write(responses, s * BATCH * V);
                session.input("t.g").fill(s + 1);
                session.input("t.d").fill(s + 1);
                session.run();
                double[] got = losses(session, c.regions.size());
                int n = want.length / STEPS;
                assertEquals(n, got.length);
                for (int k = 0; k < n; k++) {
                    double w = want[s * n + k];
                    worst[s] = Math.max(worst[s], Math.abs(w - got[k]) / Math.max(0.1, Math.abs(w)));
                }
            }
            double parameters = 0;
            List<Weights.Spec> all = new ArrayList<>(specs);
            all.addAll(graph.states());
            for (Weights.Spec s : all) {
                double[] w = doubles(t, "after." + s.name());
                Storage x = vars.find(s.name());
                for (int i = 0; i < w.length; i++) parameters = Math.max(parameters, Math.abs(w[i] - x.get(i)));
            }
            return new Outcome(worst, parameters);
        }
    }

    /** In the golden file's order. */
    private static double[] losses(Session s, int regions) {
        List<Double> all = new ArrayList<>();
        for (int i = 0; i < regions; i++) all.add(s.output("d.loss").get(i));
        for (String n : List.of("norm.d", "pixel", "correlation")) all.add(s.scalar(n));
        for (int i = 0; i < regions; i++) all.add(s.output("g.loss").get(i));
        for (String n : List.of("norm.g", "loss")) all.add(s.scalar(n));
        return all.stream().mapToDouble(x -> x).toArray();
    }

    private static double[] doubles(SafeTensors t, String name) {
        ByteBuffer b = ByteBuffer.allocate((int) t.entry(name).bytes()).order(ByteOrder.LITTLE_ENDIAN);
        t.read(name, b);
        b.flip();
        double[] d = new double[(int) t.entry(name).elements()];
        b.asDoubleBuffer().get(d);
        return d;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theDoubleReferenceGoesTorchsWay(Case c) {
        Outcome o = run(c, CpuDevice.doubleReference(), DType.F32);
        // both in double; rates and weights are the same decimals, so that eight updates differ by rounding alone
        for (double e : o.losses) assertTrue(e < 1e-9, "losses differ by " + e);
        assertEquals(0, o.parameters, 1e-9);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void floatKernelsStayNearIt(Case c) {
        for (Device d : List.of(CpuDevice.best(2), new SimDevice(false))) {
            Outcome o = run(c, d, DType.F32);
            // Adam divides a gradient by its own size: where it is 0 but for rounding an update is random within the learning
            // rate, so that parameters may differ by steps * rate, twice where both sides move; losses by little at first
            assertTrue(o.losses[0] < 2e-5, d.name() + ": first losses differ by " + o.losses[0]);
            assertTrue(o.losses[STEPS - 1] < 1e-2, d.name() + ": last losses differ by " + o.losses[STEPS - 1]);
            assertTrue(o.parameters < 2 * STEPS * 2e-3, d.name() + ": parameters differ by " + o.parameters);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void bf16ProductsStayNearIt(Case c) {
        CpuDevice cpu = CpuDevice.best(2);
        Assumptions.assumeTrue(cpu.supportsBf16(), "no avx512bf16 here");
        Outcome o = run(c, cpu, DType.BF16);
        // bf16 has 8 bits: products of a few layers are off by a few 2^-8
        assertTrue(o.losses[0] < 0.1, "first losses differ by " + o.losses[0]);
    }
}
