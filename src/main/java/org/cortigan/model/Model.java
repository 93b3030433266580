// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;

/**
 * A trained generator. Immutable and safe to share between threads; each thread creates its own {@link Predictor}.
 *
 * <p>Its values stay in the checkpoint, which is mapped, and are read one at a time when a predictor is made. A file
 * that is deleted or replaced by another, as {@link org.cortigan.io.AtomicFiles} does, stays as it was for this model;
 * one that is written in place does not.
 */
public final class Model {
    /**
     * Keys of a checkpoint's metadata: the version of its format, the model as JSON, and the name of its only subject,
     * for example {@code subj01}, if that is known.
     */
    public static final String FORMAT = "cortigan.format", CONFIG = "cortigan.model", SUBJECT = "cortigan.subject";

    private final ModelConfig config;
    /** Parameters and states by name. */
    private final Map<String, Weights.Spec> specs;
    /** What reads their values. */
    private final Map<String, Supplier<float[]>> weights;
    /** By subject. */
    private final Map<ModelConfig.Subject, ResponseScaling> scalings;
    /** Of predictions. */
    private final Precision precision;

    private Model(
            ModelConfig config,
            Map<String, Supplier<float[]>> weights,
            Map<ModelConfig.Subject, ResponseScaling> scalings,
            Precision precision) {
        this.config = config;
        this.weights = weights;
        this.scalings = scalings;
        this.precision = precision;
        specs = specs(config);
    }

    /** Parameters, then states. */
    private static Map<String, Weights.Spec> specs(ModelConfig config) {
        Weights all = config.generatorWeights(DType.F32);
        return Stream.concat(all.specs().stream(), all.states().stream())
                .collect(Collectors.toMap(Weights.Spec::name, s -> s, (a, b) -> a, LinkedHashMap::new));
    }

    /**
     * Loads the generator of a checkpoint: the moving averages of the parameters that have one. Low-rank updates are
     * merged into the weights when they are read, so that predictions cost no more than without them.
     *
     * @throws InputException if the file is no checkpoint, or its tensors do not match the model that it describes
     */
    public static Model load(Path file) {
        return load(SafeTensors.open(file));
    }

    /**
     * Loads the generator of an open checkpoint; see {@link #load(Path)}.
     *
     * @param t must stay open for as long as the model is used
     */
    public static Model load(SafeTensors t) {
        ModelConfig c = config(t);
        Map<String, Supplier<float[]>> w = new LinkedHashMap<>();
        for (Weights.Spec s : specs(c).values()) {
            String average = Weights.AVERAGE + s.name(), tensor = t.names().contains(average) ? average : s.name();
            long elements = s.shape().elements();
            t.floats(tensor, elements); // A damaged file is refused now.
            w.put(s.name(), () -> t.floats(tensor, elements));
        }
        return new Model(c.merged(), merged(w, c.lora()), scalings(t, c), Precision.FP32);
    }

    /** The values with low-rank updates merged into the weights that they update. */
    private static Map<String, Supplier<float[]>> merged(Map<String, Supplier<float[]>> weights, Lora lora) {
        Map<String, Supplier<float[]>> w = new LinkedHashMap<>();
        weights.forEach((name, values) -> {
            if (Lora.isUpdate(name)) return;
            List<Supplier<float[]>> pair = Lora.pairOf(name).stream()
                    .map(weights::get)
                    .filter(Objects::nonNull)
                    .toList();
            w.put(
                    name,
                    name.endsWith(".weight") && pair.size() == 2
                            ? () -> lora.merged(
                                    values.get(), pair.get(0).get(), pair.get(1).get())
                            : values);
        });
        return w;
    }

    /**
     * The same model with another sampling.
     *
     * @param where whose model this is, for messages
     * @throws InputException if its readout has no sampling to change
     */
    public Model predicting(Sampling.Change change, String where) {
        return new Model(config.predicting(change, where), weights, scalings, precision);
    }

    /**
     * The same model with the products of predictions in another precision than fp32. In bf16 the weights of linear and
     * convolutional layers are rounded once, when a predictor is made, and take half the memory. Responses, their
     * scaling and the sums of a sampler stay f32.
     *
     * @throws InputException for fp8; it names the option of the command line
     */
    public Model predicting(Precision precision) {
        if (precision == Precision.FP8)
            throw new InputException("--precision fp8", "is for training alone", "Use bf16, tf32 or fp32");
        return new Model(config, weights, scalings, precision);
    }

    /** Reads the values of a parameter or state, by its name in checkpoints. */
    public float[] values(String name) {
        return Objects.requireNonNull(Objects.requireNonNull(weights.get(name), "the model lacks a weight")
                .get());
    }

    /** Number of elements of a parameter or state; 0 if the model has none of that name. */
    public long elements(String name) {
        Weights.Spec s = specs.get(name);
        return s == null ? 0 : s.shape().elements();
    }

    /** How the responses that the network learned relate to the measured ones, for each subject. */
    public Map<ModelConfig.Subject, ResponseScaling> scalings() {
        return Map.copyOf(scalings);
    }

    /** How the responses that the network learned relate to the measured ones, for each subject of a checkpoint. */
    public static Map<ModelConfig.Subject, ResponseScaling> scalings(SafeTensors t, ModelConfig config) {
        Map<ModelConfig.Subject, ResponseScaling> scalings = new LinkedHashMap<>();
        for (ModelConfig.Subject s : config.subjects()) scalings.put(s, ResponseScaling.of(t, s));
        return scalings;
    }

    /**
     * Whether a safetensors file is a checkpoint, and not weights of another program.
     *
     * @throws InputException if it is no safetensors file
     */
    public static boolean isCheckpoint(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            return t.metadata().containsKey(CONFIG);
        }
    }

    /** The model that a checkpoint describes. */
    public static ModelConfig config(SafeTensors t) {
        String json = t.metadata().get(CONFIG);
        if (json == null)
            throw new InputException(
                    t.path() + ", metadata", "has no '" + CONFIG + "'", "Give a checkpoint written by train");
        String where = t.path() + ", metadata '" + CONFIG + "'";
        return ModelConfig.of(Json.object(Json.parse(json, where), where), where);
    }

    /** Name of the only subject that a checkpoint was trained on; "" if that is not known or there are several. */
    public static String subject(SafeTensors t) {
        return t.metadata().getOrDefault(SUBJECT, "");
    }

    public ModelConfig config() {
        return config;
    }

    /** Total number of elements of the generator's parameters and states. */
    public long parameters() {
        return ModelConfig.count(List.copyOf(specs.values()));
    }

    /**
     * A predictor of the model's only subject, for the calling thread, with its own copy of the parameters. Its
     * products are in the model's precision ({@link #predicting(Precision)}), fp32 if none was chosen, whatever that of
     * the device.
     *
     * @throws InputException if the device does not support the model's precision
     */
    public Predictor predictor(Device device, int batch) {
        return predictor(device, batch, "");
    }

    /** A predictor of one of several subjects. */
    public Predictor predictor(Device device, int batch, String subject) {
        return predictor(device, batch, config.subject(subject), Predictor.Form.RESPONSES);
    }

    /**
     * A predictor whose output on the device is in measured units, for programs that share its memory
     * ({@link Predictor#imageMemory}, {@link Predictor#predict(long, long, int)}).
     */
    public Predictor measured(Device device, int batch, String subject) {
        return predictor(device, batch, config.subject(subject), Predictor.Form.MEASURED);
    }

    /** A predictor that evaluates: it correlates predictions with targets on the device. */
    public Predictor evaluator(Device device, int batch, String subject) {
        return predictor(device, batch, config.subject(subject), Predictor.Form.EVALUATION);
    }

    /** A predictor of the features [F] that the readout reads; of the first subject if there are several. */
    public Predictor featureExtractor(Device device, int batch) {
        return predictor(device, batch, config.subjects().get(0), Predictor.Form.FEATURES);
    }

    /**
     * A predictor of the attention of the readout's queries to the photographs.
     *
     * @throws InputException if the readout has no queries
     */
    public Predictor attention(Device device, int batch, String subject) {
        return predictor(device, batch, config.subject(subject), Predictor.Form.ATTENTION);
    }

    private Predictor predictor(Device device, int batch, ModelConfig.Subject subject, Predictor.Form form) {
        Device on = device.with(precision, (problem, remedy) -> new InputException("--precision", problem, remedy));
        Variables v = new Variables(on);
        try {
            Predictor.variables(config, subject, form, precision.compute())
                    .forEach((name, type) -> v.get(name, type).write(values(Weights.parameterOf(name))));
        } catch (RuntimeException | Error e) {
            v.close();
            throw e;
        }
        return new Predictor(
                config, subject, on, v, Weights.Use.PREDICT, batch, true, form, scaling(subject), g -> g, precision);
    }

    ResponseScaling scaling(ModelConfig.Subject subject) {
        return scalings.getOrDefault(subject, ResponseScaling.identity(subject.vertices()));
    }

    /**
     * A model from a lookup of its parameters and states by name, which is asked whenever a predictor is made; used for
     * features of a pre-trained ViT before any training.
     */
    public static Model of(ModelConfig config, Function<String, float[]> weights) {
        Map<String, Supplier<float[]>> readers = new LinkedHashMap<>();
        for (String name : specs(config).keySet()) readers.put(name, () -> weights.apply(name));
        return new Model(config, readers, Map.of(), Precision.FP32);
    }

    /** Names of the parameters and states. */
    public List<String> names() {
        return List.copyOf(weights.keySet());
    }
}
