package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.TestModels;
import org.cortigan.data.Regions;
import org.cortigan.data.SafeTensors;
import org.cortigan.exec.Device;
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

/**
 * Twenty steps of a tiny ViT GAN against PyTorch's in double (tools/golden_models.py): for {@link TrajectoryTest}, and for
 * tools/gpu-check, which has no JUnit.
 */
public final class Trajectory {
    static final int STEPS = 20;
    private static final int LEFT = 10, RIGHT = 13, BATCH = 6;
    private static final List<String> LOSSES =
            List.of("pixel", "correlation", "d.loss.lh", "d.loss.rh", "g.loss.lh", "g.loss.rh", "norm.g", "norm.d");

    private Trajectory() {}

    private static Optimizer adamw(double rate, double beta1) {
        return new Optimizer(true, rate, beta1, 0.999, 1e-8, 0.05, 1, 0, Optimizer.Schedule.CONSTANT, 0, 1);
    }

    /** Differences of the losses step by step, and of the parameters at the end. */
    public record Outcome(double[] losses, double parameters) {}

    /** @param golden gan_20_steps.safetensors */
    public static Outcome run(Device device, DType compute, Path golden) {
        ModelConfig m = TestModels.model(
                TestModels.generator("image=16", "patch=8", "width=16", "depth=2", "heads=2"),
                TestModels.discriminator("hidden=[8, 4]", "spectral_norm=torch"), LEFT, RIGHT);
        LossConfig loss = new LossConfig(
                PearsonLoss.Pixel.L1, new LossConfig.Term(1, 0), PearsonLoss.Axis.IMAGES, 0.01, new LossConfig.Term(1, 0),
                GanLoss.Kind.LSGAN, new LossConfig.Term(0.1, 0));
        StepGraph graph = new StepGraph(
                m, m.subjects().get(0), Regions.of("hemisphere", Regions.Order.STORED, LEFT, RIGHT), loss, adamw(1e-3, 0.9),
                adamw(2e-3, 0.5), BATCH, compute, 0);
        List<Weights.Spec> specs = new ArrayList<>(graph.generatorSpecs());
        specs.addAll(graph.discriminatorSpecs());
        try (SafeTensors t = SafeTensors.open(golden);
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
}
