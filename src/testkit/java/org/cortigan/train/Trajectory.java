// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.cortigan.io.Tensors.doubles;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.cortigan.TestModels;
import org.cortigan.config.Settings;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.BackboneRates;
import org.cortigan.model.Freeze;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Optimizer;
import org.cortigan.nn.Shard;
import org.cortigan.nn.Weights;

/**
 * Trains tiny GANs for a few steps and compares them with PyTorch's steps in double. Shared by {@link TrajectoryTest},
 * {@link GanTrajectoryTest} and tools/gpu-check, which has no JUnit.
 */
public final class Trajectory {
    static final int LEFT = 10, RIGHT = 13, BATCH = 6;
    private static final int IMAGE = 16 * 16 * 3;

    private Trajectory() {}

    /** Settings for a model with a recipe's losses, and AdamW as in the golden files. */
    static StepSettings settings(ModelConfig m, Recipe r, DType compute) {
        Settings adamw = Recipe.of("golden", Map.of(), "defaults")
                .with("optimizer.learning_rate", 1e-3)
                .with("optimizer.discriminator_learning_rate", 2e-3)
                .with("optimizer.schedule", "constant")
                .with("optimizer.warmup_epochs", 0)
                .section("optimizer");
        return new StepSettings(
                m,
                LossConfig.of(r.section("loss")),
                Optimizer.generator(adamw),
                Optimizer.discriminator(adamw),
                compute,
                Optional.empty(),
                Freeze.NONE,
                BackboneRates.NONE,
                Shard.WHOLE);
    }

    /**
     * Largest relative difference of the losses in each step, and largest absolute difference of the parameters and
     * states at the end.
     */
    public record Outcome(double[] losses, double parameters) {}

    /**
     * Trains a ViT GAN with a discriminator for each hemisphere (tools/golden_models.py).
     *
     * @param golden gan_20_steps.safetensors
     */
    public static Outcome run(Device device, DType compute, Path golden) {
        ModelConfig m = TestModels.model(
                TestModels.generator("image=16", "vit.patch=8", "vit.width=16", "vit.depth=2", "vit.heads=2"),
                TestModels.discriminator("mlp.hidden=[8, 4]", "spectral_norm=torch"),
                LEFT,
                RIGHT);
        Recipe r = TestModels.recipe().with("loss.gan_weight=0.1");
        return run(
                settings(m, r, compute),
                Regions.of("hemisphere", Regions.Order.STORED, LEFT, RIGHT),
                device,
                golden,
                s -> new double[] {
                    s.scalar(StepOutput.PIXEL.key()),
                    s.scalar(StepOutput.CORRELATION.key()),
                    s.output(StepOutput.DISCRIMINATOR_LOSS.key()).get(0),
                    s.output(StepOutput.DISCRIMINATOR_LOSS.key()).get(1),
                    s.output(StepOutput.GENERATOR_LOSS.key()).get(0),
                    s.output(StepOutput.GENERATOR_LOSS.key()).get(1),
                    s.scalar(StepOutput.GENERATOR_NORM.key()),
                    s.scalar(StepOutput.DISCRIMINATOR_NORM.key())
                });
    }

    /**
     * Trains on a golden file's batches, starting from its parameters.
     *
     * @param losses reads the losses of a session that has run, in the file's order
     */
    static Outcome run(
            StepSettings settings,
            List<Region> regions,
            Device device,
            Path golden,
            Function<Session, double[]> losses) {
        StepGraph graph = new StepGraph(settings, settings.model().subjects().get(0), regions, BATCH, 0);
        List<Weights.Spec> specs = new ArrayList<>(graph.generatorSpecs());
        specs.addAll(graph.discriminatorSpecs());
        try (SafeTensors t = SafeTensors.open(golden);
                Variables vars = new Variables(device);
                Session session = new Session(graph.graph(), device, vars)) {
            long named = t.names().stream()
                    .filter(n -> n.startsWith("before.") && !n.endsWith(".u") && !n.endsWith(".v"))
                    .count();
            if (named != specs.size())
                throw new AssertionError(golden + " has " + named + " parameters, the model " + specs.size());
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
            for (Weights.Spec s : graph.states())
                vars.find(s.name()).write(s.init().make(s.shape(), 0, s.name()));
            double[] want = doubles(t, "losses"),
                    worst = new double[(int) t.entry("losses").shape()[0]];
            ByteBuffer images = ByteBuffer.allocate(worst.length * BATCH * IMAGE);
            t.read("images", images);
            float[] responses = t.floats("responses");
            session.input(StepInput.LOSS_WEIGHTS.key()).fill(1);
            session.input(StepInput.ADVERSARIAL_WEIGHT.key()).fill(0.1);
            session.input(StepInput.GENERATOR_RATE.key()).fill(1e-3);
            session.input(StepInput.DISCRIMINATOR_RATE.key()).fill(2e-3);
            for (int s = 0; s < worst.length; s++) {
                session.input(StepInput.IMAGES.key())
                        .write(ByteBuffer.wrap(images.array(), s * BATCH * IMAGE, BATCH * IMAGE));
                session.input(StepInput.RESPONSES.key()).write(responses, s * BATCH * (LEFT + RIGHT));
                session.input(StepInput.GENERATOR_UPDATE.key()).fill(s + 1);
                session.input(StepInput.DISCRIMINATOR_UPDATE.key()).fill(s + 1);
                session.run();
                double[] got = losses.apply(session);
                if (got.length * worst.length != want.length) throw new AssertionError(got.length + " losses");
                for (int k = 0; k < got.length; k++) {
                    double w = want[s * got.length + k];
                    worst[s] = Math.max(worst[s], Math.abs(w - got[k]) / Math.max(0.1, Math.abs(w)));
                }
            }
            double parameters = 0;
            specs.addAll(graph.states());
            for (Weights.Spec s : specs) {
                double[] w = doubles(t, "after." + s.name());
                parameters = Math.max(parameters, worst(w, vars.find(s.name())));
            }
            return new Outcome(worst, parameters);
        }
    }

    /** The largest absolute difference. */
    private static double worst(double[] want, Storage x) {
        double largest = 0;
        double[] got = x.toDoubles();
        for (int i = 0; i < want.length; i++) largest = Math.max(largest, Math.abs(want[i] - got[i]));
        return largest;
    }
}
