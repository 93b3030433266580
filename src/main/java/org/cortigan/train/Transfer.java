// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Diffusion;
import org.cortigan.model.Generator;
import org.cortigan.model.InitialValues;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.PretrainedDiffusion;
import org.cortigan.model.Queries;
import org.cortigan.nn.DenoisingUNet;
import org.cortigan.nn.Lora;
import org.cortigan.nn.Weights;

/**
 * Initial values of a run from a checkpoint of another run: what the subjects of that run share. Heads and vectors of
 * subjects begin anew.
 */
final class Transfer {
    private static final String GENERATOR = Resumption.GENERATOR;

    /** Keys below {@link #GENERATOR} whose values may differ without any effect on the parameters. */
    private static final Set<String> FREE = Set.of(
            "dropout",
            "gabor.dropout",
            "vit.lora_rank",
            "vit.lora_alpha",
            "vit.lora_targets",
            // A new subject's vertices are laid out anew.
            "diffusion.order",
            "diffusion.mesh",
            "diffusion.terminal_share");

    /** Keys below {@link #GENERATOR} of the readout. If one differs, the readout begins anew. */
    private static final Set<String> READOUT = Set.of(
            "readout",
            "features",
            "rank",
            "query_heads",
            "queries",
            Queries.NAMES,
            "vit.pool",
            "vit.layers",
            "sd.layers");

    private static boolean isFree(String key) {
        return FREE.contains(key) || Diffusion.isOfSampling(key);
    }

    private static boolean isOfReadout(String key, ModelConfig model) {
        boolean isOfBackbone =
                key.startsWith(DenoisingUNet.SECTION + ".") && PretrainedDiffusion.isBackbone(model.generator());
        return READOUT.contains(key) || Diffusion.isKey(key) && !isOfBackbone;
    }

    private Transfer() {}

    /**
     * The file of {@code train.init}: of a run's folder its best checkpoint, or its last one if there is no best; a
     * folder of diffusers itself.
     */
    static Path file(String init) {
        Path named = InputFiles.path(init);
        boolean isRun = Files.isDirectory(named) && !PretrainedDiffusion.isFolder(named);
        return isRun ? RunFolder.bestOrLast(named) : named;
    }

    /** Whether a file is a checkpoint of a run, and not of another program. */
    static boolean isCheckpoint(Path file) {
        return !PretrainedDiffusion.isFolder(file) && Model.isCheckpoint(file);
    }

    /** The names of the queries of a checkpoint; empty if it is no checkpoint or has other queries. */
    static List<String> queryNames(Path file, Queries wanted) {
        if (!isCheckpoint(file)) return List.of();
        try (SafeTensors t = SafeTensors.open(file)) {
            return Model.config(t)
                    .generator()
                    .queries()
                    .filter(q -> q.per().equals(wanted.per()))
                    .map(Queries::names)
                    .orElse(List.of());
        }
    }

    /**
     * The values of parameters and states for a model, and notes about what begins anew.
     *
     * @param recipe that describes the model
     * @throws InputException if the backbone is another; the message names all keys that differ
     */
    static InitialValues load(Path file, Recipe recipe, ModelConfig model) {
        Model from = Model.load(file);
        Recipe saved = Recipe.of(
                file.toString(),
                Map.of("model", from.config().settings().values()),
                file + ", metadata '" + Model.CONFIG + "'");
        List<Resumption.Change> changes = Resumption.changes(recipe, saved).stream()
                .filter(c -> c.key().startsWith(GENERATOR))
                .filter(c -> !isFree(c.key().substring(GENERATOR.length())))
                .toList();
        List<Resumption.Change> ofReadout = changes.stream()
                .filter(c -> isOfReadout(c.key().substring(GENERATOR.length()), model))
                .toList();
        List<Resumption.Change> ofBackbone =
                changes.stream().filter(c -> !ofReadout.contains(c)).toList();
        if (!ofBackbone.isEmpty())
            throw unfit(
                    file,
                    "its network is another: " + text(ofBackbone),
                    ofBackbone.stream()
                            .filter(c -> c.saved() != null)
                            .map(c -> "-o " + c.key() + "=" + Json.compact(c.saved()))
                            .collect(Collectors.joining(
                                    " ",
                                    "Set ",
                                    ", train with the recipe.yaml of that run, or begin with other weights")));
        Map<String, Supplier<float[]>> values = new LinkedHashMap<>();
        List<String> lacking = new ArrayList<>();
        Weights all = model.generatorWeights(DType.F32);
        for (Weights.Spec s :
                Stream.concat(all.specs().stream(), all.states().stream()).toList()) {
            if (Generator.isSubjectsOwn(s) || !ofReadout.isEmpty() && Generator.isOfReadout(s.name())) continue;
            if (from.elements(s.name()) == s.shape().elements()) values.put(s.name(), () -> from.values(s.name()));
            else if (!Lora.isUpdate(s.name())) lacking.add(s.name());
        }
        if (!lacking.isEmpty())
            throw unfit(
                    file,
                    "it has no values for " + lacking.size() + " parameters of the network, for example "
                            + lacking.get(0) + (ofReadout.isEmpty() ? "" : ": " + text(ofReadout)),
                    "Set " + GENERATOR + model.generator().backbone().type().section()
                            + ".layers to those of the checkpoint, or begin with other weights");
        addMeanVector(file, from, values);
        return new InitialValues(values, notes(file, from.config(), ofReadout));
    }

    /**
     * A backbone of several subjects adds the vector of a subject: the mean of the vectors joins the shared parameter
     * that they are added to.
     */
    private static void addMeanVector(Path file, Model from, Map<String, Supplier<float[]>> values) {
        List<float[]> vectors = from.config().subjects().stream()
                .map(s -> Generator.vectorOf(s.name()))
                .filter(from.names()::contains)
                .map(from::values)
                .toList();
        if (vectors.isEmpty()) return;
        String shared = values.containsKey(Generator.POSITIONS) ? Generator.POSITIONS : Generator.TOKEN;
        Supplier<float[]> before = values.get(shared);
        if (before == null)
            throw unfit(
                    file,
                    "its subjects have vectors of their own in the backbone, and only a vit or sd can begin with their"
                            + " mean",
                    "Give a checkpoint of one subject");
        int width = vectors.get(0).length;
        float[] sum = before.get().clone();
        for (int i = 0; i < sum.length; i++) {
            double mean = 0;
            for (float[] v : vectors) mean += v[i % width];
            sum[i] += (float) (mean / vectors.size());
        }
        values.put(shared, () -> sum);
    }

    private static List<String> notes(Path file, ModelConfig from, List<Resumption.Change> ofReadout) {
        String subjects = from.subjects().stream()
                .map(ModelConfig.Subject::name)
                .filter(n -> !n.isEmpty())
                .collect(Collectors.joining(", ", " (", ")"));
        List<String> notes = new ArrayList<>();
        notes.add("initial weights: " + (ofReadout.isEmpty() ? "all that subjects share" : "the backbone") + " of "
                + file + (subjects.length() > 3 ? subjects : "") + "; the subjects' own weights begin anew");
        if (!ofReadout.isEmpty()) notes.add("the whole readout begins anew: " + text(ofReadout));
        return notes;
    }

    private static String text(List<Resumption.Change> changes) {
        return changes.stream().map(Resumption.Change::difference).collect(Collectors.joining("; "));
    }

    private static InputException unfit(Path file, String what, String remedy) {
        return new InputException(file.toString(), "cannot give the initial weights: " + what, remedy);
    }
}
