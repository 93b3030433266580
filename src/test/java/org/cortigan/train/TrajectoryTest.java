package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.TestModels;
import org.cortigan.data.Regions;
import org.cortigan.data.SafeTensors;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.loss.LossConfig;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;
import org.cortigan.op.GanLoss;
import org.cortigan.op.PearsonLoss;
import org.cortigan.optim.Optimizer;
import org.junit.jupiter.api.Test;

/** Twenty steps of a tiny ViT GAN against PyTorch's in double (tools/golden_models.py). */
class TrajectoryTest {
    private static final int LEFT = 10, RIGHT = 13, BATCH = 6, STEPS = 20;
    private static final List<String> LOSSES =
            List.of("pixel", "correlation", "d.loss.lh", "d.loss.rh", "g.loss.lh", "g.loss.rh", "norm.g", "norm.d");

    private static Optimizer adamw(double rate, double beta1) {
        return new Optimizer(true, rate, beta1, 0.999, 1e-8, 0.05, 1, 0, Optimizer.Schedule.CONSTANT, 0, 1);
    }

    /** Differences of the losses step by step, and of the parameters at the end. */
    private record Outcome(double[] losses, double parameters) {}

    private static Outcome run(CpuDevice device, DType compute) {
        ModelConfig m = TestModels.model(
                TestModels.generator("image=16", "patch=8", "width=16", "depth=2", "heads=2"),
                TestModels.discriminator("hidden=[8, 4]", "spectral_norm=torch"), LEFT, RIGHT);
        ModelConfig.Subject subject = m.subjects().get(0);
        LossConfig loss = new LossConfig(
                PearsonLoss.Pixel.L1, new LossConfig.Term(1, 0), PearsonLoss.Axis.IMAGES, 0.01, new LossConfig.Term(1, 0),
                GanLoss.Kind.LSGAN, new LossConfig.Term(0.1, 0));
        StepGraph graph = new StepGraph(
                m, subject, Regions.of("hemisphere", Regions.Order.STORED, LEFT, RIGHT), loss, adamw(1e-3, 0.9), adamw(2e-3, 0.5),
                BATCH, compute);
        List<Weights.Spec> specs = new ArrayList<>(graph.generatorSpecs());
        specs.addAll(graph.discriminatorSpecs());
        try (SafeTensors t = SafeTensors.open(Path.of("src/test/resources/models/gan_20_steps.safetensors"));
                Variables vars = new Variables(device);
                Session session = new Session(graph.graph(), device, vars)) {
            for (Weights.Spec s : specs) {
                float[] f = t.floats("before." + s.name());
                vars.find(s.name()).write(f);
                if (s.copy()) vars.find(Weights.copyName(s.name())).write(f);
                if (s.spectral())
                    for (String part : List.of(".u", ".v")) vars.find(s.name() + part).write(t.floats("before." + s.name() + part));
            }
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
                session.input("responses").write(responses, s * BATCH * (LEFT + RIGHT));
                session.input("t.g").fill(s + 1);
                session.input("t.d").fill(s + 1);
                session.run();
                for (int k = 0; k < LOSSES.size(); k++) {
                    double w = want[s * LOSSES.size() + k], got = loss(session, LOSSES.get(k));
                    worst[s] = Math.max(worst[s], Math.abs(w - got) / Math.max(0.1, Math.abs(w)));
                }
            }
            double parameters = 0;
            for (Weights.Spec s : specs) {
                double[] w = doubles(t, "after." + s.name());
                Storage x = vars.find(s.name());
                for (int i = 0; i < w.length; i++) parameters = Math.max(parameters, Math.abs(w[i] - x.get(i)));
            }
            return new Outcome(worst, parameters);
        }
    }

    /** A loss by its name in the golden file: regions are the places of a vector. */
    private static double loss(Session s, String name) {
        if (name.endsWith(".lh")) return s.output(name.substring(0, name.length() - 3)).get(0);
        return name.endsWith(".rh") ? s.output(name.substring(0, name.length() - 3)).get(1) : s.scalar(name);
    }

    private static double[] doubles(SafeTensors t, String name) {
        ByteBuffer b = ByteBuffer.allocate((int) t.entry(name).bytes()).order(ByteOrder.LITTLE_ENDIAN);
        t.read(name, b);
        b.flip();
        double[] d = new double[(int) t.entry(name).elements()];
        b.asDoubleBuffer().get(d);
        return d;
    }

    @Test
    void theDoubleReferenceGoesTorchsWay() {
        Outcome o = run(CpuDevice.doubleReference(), DType.F32);
        // both in double; learning rates and weights are given as floats rounded from the same decimals to double, so that
        // 20 updates of 1e-3 differ by rounding alone
        for (double e : o.losses) assertTrue(e < 1e-9, "losses differ by " + e);
        assertEquals(0, o.parameters, 1e-9);
    }

    @Test
    void floatKernelsStayNearIt() {
        Outcome o = run(CpuDevice.best(2), DType.F32);
        // Adam divides a gradient by its own size: where it is 0 but for rounding (key biases) an update is random within the
        // learning rate, so parameters may differ by steps * rate, and losses by little in the first and more in later steps
        assertTrue(o.losses[0] < 1e-5, "first losses differ by " + o.losses[0]);
        assertTrue(o.losses[STEPS - 1] < 1e-2, "last losses differ by " + o.losses[STEPS - 1]);
        assertTrue(o.parameters < STEPS * 2e-3, "parameters differ by " + o.parameters);
    }

    @Test
    void bf16ProductsStayNearIt() {
        CpuDevice cpu = CpuDevice.best(2);
        org.junit.jupiter.api.Assumptions.assumeTrue(cpu.supportsBf16(), "no avx512bf16 here");
        Outcome o = run(cpu, DType.BF16);
        // bf16 has 8 bits: products of two blocks are off by a few 2^-8
        assertTrue(o.losses[0] < 0.1, "first losses differ by " + o.losses[0]);
    }
}
