// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.model.Freeze;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.PretrainedVit;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.SpectralNorm;
import org.jspecify.annotations.Nullable;

/** Sets the initial values of the variables of a run. */
final class Initialiser {
    /** Initial power iterations, as in torch.nn.utils.parametrizations.spectral_norm. */
    private static final int POWER_ITERATIONS = 15;

    private final Variables vars;
    private final List<Weights.Spec> parameters;
    private final List<Weights.Spec> states;
    private final Freeze freeze;
    /** Values from the file {@code train.init}. */
    private Map<String, float[]> given = Map.of();

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
     * Initialises all variables: those that the file {@code train.init} contains from the file, all others from the
     * seed.
     *
     * @param recipe of the run
     * @param log receives what is taken from a checkpoint
     * @return the content of {@code train.init}, or null if it names no file of a pre-trained network
     * @throws org.cortigan.InputException if the file does not fit the model
     */
    @Nullable
    PretrainedVit initialise(ModelConfig model, Recipe recipe, TrainSettings train, Consumer<String> log) {
        PretrainedVit pretrained = null;
        if (!train.init().isEmpty()) {
            Path file = Transfer.file(train.init());
            if (Model.isCheckpoint(file)) {
                Transfer transfer = Transfer.load(file, recipe, model);
                given = transfer.values();
                transfer.notes().forEach(log);
            } else {
                pretrained = PretrainedVit.load(file, model);
                given = pretrained.values();
            }
        }
        initialise(train.seed());
        return pretrained;
    }

    /** Whether the file {@code train.init} gave the value of a variable. */
    boolean isGiven(String variable) {
        return given.containsKey(variable);
    }

    /** Initialises all variables, those without a given value from the seed. */
    void initialise(long seed) {
        for (Weights.Spec s : parameters) {
            float[] values = given.get(s.name());
            Init init = freeze.freezes(s) && Generator.isSubjectsVector(s) ? Init.ZEROS : s.init();
            set(s.name(), values != null ? values : init.make(s.shape(), seed, s.name()));
            if (s.spectral()) initialiseSpectralNorm(s, seed);
        }
        for (Weights.Spec s : states) {
            float[] values = given.get(s.name());
            vars.find(s.name()).write(values != null ? values : s.init().make(s.shape(), seed, s.name()));
        }
        copyToBf16();
        settleSpectralNorm();
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
