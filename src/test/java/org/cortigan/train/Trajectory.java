package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.data.SafeTensors;
import org.cortigan.data.Settings;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.loss.LossConfig;
import org.cortigan.model.Discriminator;
import org.cortigan.model.Generator;
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
        Generator g = new Generator(
                Generator.Type.VIT, 16, 8, 16, 2, 2, 4, Generator.Pool.CLS, List.of(1), 1, List.of(.5, .5, .5), List.of(.5, .5, .5));
        Discriminator d = new Discriminator(
                Discriminator.Type.MLP, Discriminator.Per.HEMISPHERE, Discriminator.Spectral.TORCH, Discriminator.Condition.NONE,
                List.of(8, 4), List.of(1), 1, 1, 1, 1, 1, 1, 1);
        ModelConfig m = new ModelConfig(g, d, Settings.of("test", Map.of()), LEFT, RIGHT);
        LossConfig loss = new LossConfig(
                PearsonLoss.Pixel.L1, new LossConfig.Term(1, 0), PearsonLoss.Axis.IMAGES, 0.01, new LossConfig.Term(1, 0),
                GanLoss.Kind.LSGAN, new LossConfig.Term(0.1, 0));
        StepGraph graph = new StepGraph(m, loss, adamw(1e-3, 0.9), adamw(2e-3, 0.5), BATCH, compute);
        List<Weights.Spec> specs = new ArrayList<>(g.specs(compute, LEFT + RIGHT));
        for (Discriminator.Part p : m.parts()) specs.addAll(m.specs(compute, p));
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
            session.input("gan.weight").fill(0.1 / 2);
            session.input("lr.g").fill(1e-3);
            session.input("lr.d").fill(2e-3);
            for (int s = 0; s < STEPS; s++) {
                session.input("images").write(ByteBuffer.wrap(images.array(), s * BATCH * 768, BATCH * 768));
                session.input("responses").write(responses, s * BATCH * (LEFT + RIGHT));
                session.input("t.g").fill(s + 1);
                session.input("t.d").fill(s + 1);
                session.run();
                for (int k = 0; k < LOSSES.size(); k++) {
                    double w = want[s * LOSSES.size() + k], got = session.scalar(LOSSES.get(k));
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

    private static double[] doubles(SafeTensors t, String name) {
        ByteBuffer b = ByteBuffer.allocate((int) t.entry(name).bytes()).order(ByteOrder.LITTLE_ENDIAN);
        t.read(name, b);
        b.flip();
        double[] d = new double[(int) t.entry(name).elements()];
        b.asDoubleBuffer().get(d);
        return d;
    }
}
