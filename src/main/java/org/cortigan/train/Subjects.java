// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.Arena;
import org.cortigan.exec.Device;
import org.cortigan.exec.Variables;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.ResponseScaling;
import org.cortigan.nn.Weights;

/** The steps of all subjects of a run, which share the variables and one arena. */
final class Subjects implements AutoCloseable {
    /**
     * The validation of an epoch.
     *
     * @param meanR Pearson's r, mean over vertices, then over subjects; NaN if a subject has no validation photographs
     * @param medianR Pearson's r, median over vertices, then mean over subjects; NaN if a subject has no validation
     *     photographs
     * @param perSubject mean r of each subject; empty for one subject
     * @param prediction how the validated predictions were made; "" for a model with one way
     * @param r of every vertex, by name of the subject, without subjects that have no validation photographs
     */
    record Validation(
            double meanR,
            double medianR,
            List<EpochResult.Metric> perSubject,
            String prediction,
            Map<String, double[]> r) {}

    private final Arena arena;

    /** By number of vertices, the largest first. */
    private final List<SubjectSteps> opened = new ArrayList<>();

    /** In the order of the data sets. */
    private final List<SubjectSteps> all = new ArrayList<>();

    /**
     * Opens the sessions, the largest first, so that the others fit into its block of the arena.
     *
     * @param log receives messages about the responses
     */
    Subjects(
            List<SubjectSetup> setups,
            TrainSettings train,
            Device device,
            Variables vars,
            boolean resident,
            Consumer<String> log) {
        arena = new Arena(device);
        List<SubjectSetup> bySize = new ArrayList<>(setups);
        bySize.sort(Comparator.comparingInt(SubjectSetup::vertices).reversed());
        try {
            for (SubjectSetup s : bySize) opened.add(new SubjectSteps(s, train, device, vars, resident, arena, log));
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
        for (SubjectSetup s : setups) all.add(opened.get(bySize.indexOf(s)));
    }

    List<SubjectSteps> all() {
        return all;
    }

    SubjectSteps get(int i) {
        return all.get(i);
    }

    SubjectSteps first() {
        return all.get(0);
    }

    /** The subject with the most vertices. */
    SubjectSteps largest() {
        return opened.get(0);
    }

    /** Collects the specs of all subjects, each once. */
    List<Weights.Spec> specs(Function<StepGraph, List<Weights.Spec>> ofStep) {
        Map<String, Weights.Spec> specs = new LinkedHashMap<>();
        for (SubjectSteps s : all) ofStep.apply(s.graph()).forEach(spec -> specs.put(spec.name(), spec));
        return List.copyOf(specs.values());
    }

    /** Parameters of all networks, each once. */
    List<Weights.Spec> parameters() {
        List<Weights.Spec> parameters = new ArrayList<>(specs(StepGraph::generatorSpecs));
        parameters.addAll(specs(StepGraph::discriminatorSpecs));
        return parameters;
    }

    /** Steps per epoch of each subject. */
    long[] stepsPerEpoch() {
        return all.stream().mapToLong(SubjectSteps::stepsPerEpoch).toArray();
    }

    /** The state of each subject. */
    List<RunState.SubjectState> states() {
        return all.stream().map(SubjectSteps::state).toList();
    }

    /** The scaling of each subject's responses. */
    Map<ModelConfig.Subject, ResponseScaling> scalings() {
        Map<ModelConfig.Subject, ResponseScaling> scalings = new LinkedHashMap<>();
        for (SubjectSteps s : all) scalings.put(s.subject(), s.scaling());
        return scalings;
    }

    /** The scaling of a subject's training responses, whatever a resumed run's is. */
    ResponseScaling measuredScaling(ModelConfig.Subject subject) {
        SubjectSetup setup = all.stream()
                .map(SubjectSteps::setup)
                .filter(s -> s.subject().equals(subject))
                .findFirst()
                .orElseThrow();
        return setup.scaling(line -> {});
    }

    /** Continues from another run. */
    void resume(Checkpoint.Resumed saved) {
        for (int i = 0; i < all.size(); i++) {
            SubjectSteps s = all.get(i);
            s.resume(
                    saved.state().subject(i),
                    Objects.requireNonNull(saved.scalings().get(s.subject()), "no scaling of the subject"));
        }
    }

    /**
     * Starts loading batches, up to the last epoch, and prepares validation.
     *
     * @param stop whether to give up, after which no step can run
     */
    void begin(int epochs, BooleanSupplier stop) {
        for (SubjectSteps s : all) s.begin(epochs, stop);
    }

    /** Frees the resources of {@link #begin}. */
    void end() {
        for (SubjectSteps s : all) s.end();
    }

    /** Waits for the queued work after an error; further errors become suppressed exceptions of {@code error}. */
    void synchronizeAfter(Throwable error) {
        for (SubjectSteps s : all)
            try {
                s.session().synchronize();
            } catch (RuntimeException e) {
                error.addSuppressed(e);
            }
    }

    /**
     * Returns the means over the finished epoch and resets the sums. With several subjects, the losses of the generator
     * come first as means over subjects, under the names that they have with one subject.
     */
    List<EpochResult.Metric> takeMeans() {
        List<EpochResult.Metric> means = new ArrayList<>();
        for (SubjectSteps s : all) means.addAll(s.takeMeans());
        if (all.size() == 1) return means;
        List<EpochResult.Metric> ofAll = new ArrayList<>();
        for (StepOutput output : StepOutput.OF_GENERATOR)
            means.stream()
                    .filter(m -> m.kind() == output.kind())
                    .mapToDouble(EpochResult.Metric::value)
                    .average()
                    .ifPresent(mean -> ofAll.add(new EpochResult.Metric(output.key(), output.kind(), "", mean)));
        ofAll.addAll(means);
        return ofAll;
    }

    /** Evaluates all subjects on their validation photographs. */
    Validation validate() {
        double mean = 0, median = 0;
        List<EpochResult.Metric> perSubject = new ArrayList<>();
        Map<String, double[]> perVertex = new LinkedHashMap<>();
        for (SubjectSteps s : all) {
            if (!s.validates()) {
                mean = median = Double.NaN;
                continue;
            }
            double[] r = s.validate();
            perVertex.put(s.subject().name(), r);
            mean += Metrics.mean(r) / all.size();
            median += Metrics.median(r) / all.size();
            if (all.size() > 1) perSubject.add(metric(s.subject().name(), Metrics.mean(r)));
        }
        String prediction = Double.isNaN(mean) ? "" : first().validation();
        return new Validation(mean, median, perSubject, prediction, perVertex);
    }

    private static EpochResult.Metric metric(String subject, double meanR) {
        return new EpochResult.Metric("validation_mean_r." + subject, EpochResult.Kind.VALIDATION, subject, meanR);
    }

    @Override
    public void close() {
        for (int i = opened.size() - 1; i >= 0; i--) opened.get(i).close();
        arena.close();
    }
}
