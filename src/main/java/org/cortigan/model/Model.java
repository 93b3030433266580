package org.cortigan.model;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.data.Json;
import org.cortigan.data.SafeTensors;
import org.cortigan.data.Settings;
import org.cortigan.exec.Device;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.nn.Weights;
import org.cortigan.optim.Optimizer;

/**
 * A trained generator. Immutable, and safe to share between threads; each thread makes its own {@link Predictor}.
 */
public final class Model {
    /** Keys of a checkpoint's metadata. */
    public static final String FORMAT = "cortigan.format", CONFIG = "cortigan.model";

    private final ModelConfig config;
    private final Map<String, float[]> weights;

    private Model(ModelConfig config, Map<String, float[]> weights) {
        this.config = config;
        this.weights = weights;
    }

    /**
     * Loads the generator of a checkpoint, its moving average where there is one.
     *
     * @throws InputException if the file is no checkpoint, or its tensors are not those that it describes
     */
    public static Model load(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            ModelConfig c = config(t);
            Map<String, float[]> w = new LinkedHashMap<>();
            boolean average = t.names().contains(Optimizer.AVERAGE + Generator.PREFIX + "head.weight");
            for (Weights.Spec s : c.generator().specs(DType.F32, c.vertices()))
                w.put(s.name(), floats(t, (average ? Optimizer.AVERAGE : "") + s.name(), s));
            return new Model(c, w);
        }
    }

    /** What a checkpoint says about its model. */
    public static ModelConfig config(SafeTensors t) {
        String json = t.metadata().get(CONFIG);
        if (json == null)
            throw new InputException(
                    t.path() + ", metadata", "has no '" + CONFIG + "'", "Give a checkpoint that train has written");
        String where = t.path() + ", metadata '" + CONFIG + "'";
        Map<String, Object> m = Json.object(Json.parse(json, where), where);
        Settings s = Settings.of(where, m);
        return ModelConfig.of(s.section("model"), s.integer("left", 1), s.integer("right", 1));
    }

    /** A tensor of a checkpoint, which must have the parameter's size. */
    public static float[] floats(SafeTensors t, String name, Weights.Spec s) {
        if (!t.names().contains(name))
            throw new InputException(t.path().toString(), "has no tensor '" + name + "'", "It is damaged or another model's");
        if (t.entry(name).elements() != s.shape().elements())
            throw new InputException(
                    t.path() + ", tensor '" + name + "'",
                    "has " + t.entry(name).elements() + " elements, the model needs " + s.shape().elements(),
                    "It is damaged or another model's");
        return t.floats(name);
    }

    public ModelConfig config() {
        return config;
    }

    /** Numbers in the generator. */
    public long parameters() {
        return weights.values().stream().mapToLong(f -> f.length).sum();
    }

    /** A predictor for the calling thread with its own copy of the parameters. */
    public Predictor predictor(Device device, int batch) {
        return predictor(device, batch, false);
    }

    /** The same for the features [F] that the head reads. */
    public Predictor featureExtractor(Device device, int batch) {
        return predictor(device, batch, true);
    }

    private Predictor predictor(Device device, int batch, boolean features) {
        Variables v = new Variables(device);
        try {
            for (Weights.Spec s : config.generator().specs(DType.F32, config.vertices()))
                if (!features || !s.name().startsWith(Generator.PREFIX + "head."))
                    v.get(s.name(), new org.cortigan.graph.Type(DType.F32, s.shape())).write(weights.get(s.name()));
        } catch (RuntimeException | Error e) {
            v.close();
            throw e;
        }
        return new Predictor(config, device, v, Generator.PREFIX, batch, true, features);
    }

    /** A model from parameters in memory, by name; for features of a pre-trained ViT before any training. */
    public static Model of(ModelConfig config, Map<String, float[]> weights) {
        for (Weights.Spec s : config.generator().specs(DType.F32, config.vertices()))
            if (weights.get(s.name()) == null || weights.get(s.name()).length != s.shape().elements())
                throw new IllegalArgumentException("parameter '" + s.name() + "' must have " + s.shape());
        return new Model(config, Map.copyOf(weights));
    }

    /** Names of the parameters, for tools. */
    public List<String> names() {
        return List.copyOf(weights.keySet());
    }
}
