// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Freeze;
import org.cortigan.model.Generator;
import org.cortigan.model.InitialValues;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.PretrainedDiffusion;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.SpectralNorm;

/** Sets the initial values of the variables of a run. */
final class Initialiser {
    /** Initial power iterations, as in torch.nn.utils.parametrizations.spectral_norm. */
    private static final int POWER_ITERATIONS = 15;

    private final Variables vars;
    private final List<Weights.Spec> parameters;
    private final List<Weights.Spec> states;
    private final Freeze freeze;
    /** Variables whose values are those of a file. */
    private Set<String> given = Set.of();

    /**
     * @param vars where the variables are declared
     * @param parameters parameters of all networks, each once
     * @param states variables that are kept but not trained
     * @param freeze where it freezes the vectors of subjects, they are 0
     */
    Initialiser(Variables vars, List<Weights.Spec> parameters, List<Weights.Spec> states, Freeze freeze) {
        this.vars = vars;
        this.parameters = parameters;
        this.states = states;
        this.freeze = freeze;
    }

    /**
     * Initialises all variables: those that the files {@code train.init} and {@code train.init_unet} contain from the
     * files, all others from the seed.
     *
     * @param recipe of the run
     * @param log receives what is taken from a checkpoint
     * @return what files of other programs hold and what was done with it, for the user; empty without such files
     * @throws org.cortigan.InputException if a file does not fit the model
     */
    List<String> initialise(ModelConfig model, Recipe recipe, TrainSettings train, Consumer<String> log) {
        InitialValues values = InitialValues.NONE;
        if (!train.init().isEmpty()) {
            Path file = Transfer.file(train.init());
            if (Transfer.isCheckpoint(file)) {
                InitialValues transfer = Transfer.load(file, recipe, model);
                transfer.notes().forEach(log);
                values = new InitialValues(transfer.values(), List.of());
            } else {
                values = PretrainedDiffusion.isBackbone(model.generator())
                        ? PretrainedDiffusion.backbone(file, model)
                        : PretrainedVit.load(file, model);
            }
        }
        if (!train.initUnet().isEmpty()) {
            InitialValues unet = PretrainedDiffusion.readout(InputFiles.path(train.initUnet()), model, train.seed());
            if (unet.values().keySet().stream().anyMatch(values.values()::containsKey))
                throw train.wrong(
                        "init_unet",
                        train.initUnet() + " is given beside the checkpoint of train.init, which has that UNet",
                        "Leave one of them out");
            values = values.and(unet);
        }
        initialise(train.seed(), values.values());
        return values.notes();
    }

    /** Whether a file gave the value of a variable. */
    boolean isGiven(String variable) {
        return given.contains(variable);
    }

    /** Initialises all variables from the seed. */
    void initialise(long seed) {
        initialise(seed, Map.of());
    }

    /** One value at a time is in memory. */
    private void initialise(long seed, Map<String, Supplier<float[]>> values) {
        given = Set.copyOf(values.keySet());
        for (Weights.Spec s : parameters) {
            Init init = freeze.freezes(s) && Generator.isSubjectsVector(s) ? Init.ZEROS : s.init();
            set(s.name(), value(s, init, seed, values));
            if (s.spectral()) initialiseSpectralNorm(s, seed);
        }
        for (Weights.Spec s : states) vars.find(s.name()).write(value(s, s.init(), seed, values));
        copyToBf16();
        settleSpectralNorm();
    }

    private static float[] value(Weights.Spec s, Init init, long seed, Map<String, Supplier<float[]>> values) {
        Supplier<float[]> value = values.get(s.name());
        return value != null ? value.get() : init.make(s.shape(), seed, s.name());
    }

    /** Sets a parameter and its moving average; {@link #copyToBf16} rounds it. */
    void set(String parameter, float[] values) {
        vars.find(parameter).write(values);
        String average = Weights.AVERAGE + parameter;
        if (vars.has(average)) vars.find(average).write(values);
    }

    private void initialiseSpectralNorm(Weights.Spec s, long seed) {
        for (String part : List.of(".u", ".v")) {
            Storage vector = vars.find(s.name() + part);
            vector.write(Init.normal(1).make(vector.type().shape(), seed, s.name() + part));
        }
    }

    /** Rounds the parameters to the bf16 copies that matrix products read. */
    void copyToBf16() {
        for (Weights.Spec s : parameters)
            if (s.copy() && vars.has(Weights.copyName(s.name()))) // A step on cached features has no frozen copies.
            vars.find(Weights.copyName(s.name())).write(vars.find(s.name()).toFloats());
    }

    /** Runs power iterations, so that u and v approximate the leading singular vectors. */
    private void settleSpectralNorm() {
        Graph graph = new Graph();
        List<Value> in = new ArrayList<>();
        for (Weights.Spec s : parameters) {
            if (!s.spectral()) continue;
            Map<String, Value> v = Weights.variables(graph, s);
            for (String part : List.of("", ".u", ".v", ".s", "")) in.add(v.get(s.name() + part));
        }
        if (in.isEmpty()) return;
        graph.output(
                "s",
                graph.apply(new SpectralNorm(SpectralNorm.Mode.ADVANCE), in).output(3));
        try (Session session = new Session(graph, vars.device(), vars)) {
            for (int i = 0; i < POWER_ITERATIONS; i++) session.run();
        }
    }
}
