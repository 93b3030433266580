package org.cortigan.train;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.data.Json;
import org.cortigan.data.SafeTensors;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.optim.Optimizer;

/**
 * The mean of the generators' parameters of several checkpoints of one model (Wortsman et al. 2022, "Model soups"), of
 * the moving averages where there are any. It helps where the checkpoints lie in one basin: of one run, or of runs from
 * the same initial weights; the mean of runs from different random weights is of no use, and only evaluation shows it.
 */
public final class ModelSoup {
    private ModelSoup() {}

    /**
     * Writes the mean as a checkpoint of the generator alone, from which no run can be resumed. It names its recipe only
     * if all its members' runs held out the same images.
     *
     * @throws InputException for a checkpoint of another model than the first, by name
     */
    public static void write(List<Path> checkpoints, Path out) {
        Path first = checkpoints.get(0);
        ModelConfig config = null;
        Recipe recipe = null;
        boolean sameSplit = true;
        Map<String, double[]> sums = new LinkedHashMap<>();
        Map<String, long[]> shapes = new LinkedHashMap<>();
        for (Path p : checkpoints) {
            try (SafeTensors t = SafeTensors.open(p)) {
                ModelConfig c = Model.config(t);
                Recipe r = Checkpoint.recipe(t);
                if (config == null) {
                    config = c;
                    recipe = r;
                }
                if (!c.generator().equals(config.generator()))
                    throw other(p, "its generator is " + c.generator() + ", that of " + first + " is " + config.generator());
                if (c.left() != config.left() || c.right() != config.right())
                    throw other(p, "it is for " + c.left() + " + " + c.right() + " vertices, " + first + " for " + config.left() + " + "
                            + config.right());
                sameSplit &= r != null && Trainer.sameSplit(r, recipe);
                String prefix = t.names().stream().anyMatch(n -> n.startsWith(Optimizer.AVERAGE + Generator.PREFIX))
                        ? Optimizer.AVERAGE + Generator.PREFIX : Generator.PREFIX;
                TreeSet<String> names = new TreeSet<>();
                for (String n : t.names()) {
                    if (!n.startsWith(prefix)) continue;
                    String name = n.substring(prefix.length() - Generator.PREFIX.length());
                    names.add(name);
                    if (p == first) shapes.put(name, t.entry(n).shape());
                    if (!Arrays.equals(shapes.get(name), t.entry(n).shape())) throw other(p, "its tensor '" + n + "' is another");
                    float[] values = t.floats(n);
                    double[] sum = sums.computeIfAbsent(name, k -> new double[values.length]);
                    for (int i = 0; i < values.length; i++) sum[i] += values[i];
                }
                if (!names.equals(new TreeSet<>(shapes.keySet()))) throw other(p, "it lacks some of the tensors of " + first);
            }
        }
        SafeTensors.Writer w = new SafeTensors.Writer(out)
                .metadata("format", "pt")
                .metadata(Model.FORMAT, Checkpoint.VERSION)
                .metadata(Model.CONFIG, Json.compact(config.toMap()))
                .metadata("cortigan.averaged", Json.compact(checkpoints.stream().map(Path::toString).toList()));
        if (sameSplit) w.metadata(Checkpoint.RECIPE, Json.compact(recipe.settings().values()));
        sums.forEach((name, sum) -> {
            float[] mean = new float[sum.length];
            for (int i = 0; i < mean.length; i++) mean[i] = (float) (sum[i] / checkpoints.size());
            w.add(name, mean, shapes.get(name));
        });
        w.commit();
    }

    private static InputException other(Path file, String what) {
        return new InputException(file.toString(), "cannot be averaged: " + what, "Give checkpoints of one model");
    }
}
