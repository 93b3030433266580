// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.data.Json;
import org.cortigan.data.SafeTensors;
import org.cortigan.graph.DType;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Weights;

/**
 * The mean of the generators' parameters of several checkpoints of one model (Wortsman et al. 2022, "Model soups"), of
 * the moving averages where there are any. It helps where the checkpoints lie in one basin: of one run, or of runs from
 * the same initial weights; the mean of runs from different random weights is of no use, and only evaluation shows it.
 */
public final class ModelSoup {
    private ModelSoup() {}

    /**
     * Writes the mean as a checkpoint of the generator alone, from which no run can be resumed. It names its recipe
     * only if all its members' runs held out the same images.
     *
     * @throws InputException for a checkpoint of another model than the first, by name
     */
    public static void write(List<Path> checkpoints, Path out) {
        Path first = checkpoints.get(0);
        ModelConfig config = null;
        Recipe recipe = null;
        boolean sameSplit = true;
        Map<Weights.Spec, double[]> sums = new LinkedHashMap<>();
        for (Path p : checkpoints) {
            try (SafeTensors t = SafeTensors.open(p)) {
                ModelConfig c = Model.config(t);
                Recipe r = Checkpoint.recipe(t);
                if (config == null) {
                    config = c;
                    recipe = r;
                }
                if (!c.generator().equals(config.generator()))
                    throw other(
                            p,
                            "its generator is " + c.generator() + ", that of " + first + " is " + config.generator());
                if (!c.subjects().equals(config.subjects()))
                    throw other(p, "it is for " + c.subjects() + ", " + first + " for " + config.subjects());
                sameSplit &= r != null && Trainer.sameSplit(r, recipe);
                Weights all = config.generatorWeights(DType.F32);
                String average =
                        t.names().contains(Weights.AVERAGE + all.specs().get(0).name()) ? Weights.AVERAGE : "";
                for (Weights.Spec spec : all.specs()) add(sums, spec, Model.floats(t, average + spec.name(), spec));
                for (Weights.Spec spec : all.states()) add(sums, spec, Model.floats(t, spec.name(), spec));
            }
        }
        SafeTensors.Writer w = new SafeTensors.Writer(out)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, Checkpoint.VERSION)
                .metadata(Model.CONFIG, Json.compact(config.toMap()))
                .metadata(
                        "cortigan.averaged",
                        Json.compact(checkpoints.stream().map(Path::toString).toList()));
        if (sameSplit)
            w.metadata(Checkpoint.RECIPE, Json.compact(recipe.settings().values()));
        sums.forEach((spec, sum) -> {
            float[] mean = new float[sum.length];
            for (int i = 0; i < mean.length; i++) mean[i] = (float) (sum[i] / checkpoints.size());
            w.add(
                    spec.name(),
                    mean,
                    Arrays.stream(spec.shape().dims()).asLongStream().toArray());
        });
        w.commit();
    }

    private static void add(Map<Weights.Spec, double[]> sums, Weights.Spec spec, float[] values) {
        double[] sum = sums.computeIfAbsent(spec, k -> new double[values.length]);
        for (int i = 0; i < values.length; i++) sum[i] += values[i];
    }

    private static InputException other(Path file, String what) {
        return new InputException(file.toString(), "cannot be averaged: " + what, "Give checkpoints of one model");
    }
}
