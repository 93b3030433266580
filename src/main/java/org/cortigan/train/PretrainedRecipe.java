// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.Normalisation;
import org.cortigan.model.PretrainedVit;
import org.cortigan.model.Vit;

/** Takes values of a recipe from the file of a pre-trained ViT. */
public final class PretrainedRecipe {
    private static final String GENERATOR = "model.generator.";

    private PretrainedRecipe() {}

    /**
     * The recipe with its colours in numbers: {@code preprocess: custom} with the mean and std in force. They are those
     * of a preset; with {@code auto}, those of {@code train.init} if its files tell them.
     */
    public static Recipe withColours(Recipe recipe) {
        Settings g = recipe.section("model").section("generator");
        Normalisation n = Normalisation.of(g);
        switch (Normalisation.preset(g)) {
            case CUSTOM -> {
                return recipe;
            }
            case AUTO -> n = trainedWith(recipe).orElse(n);
            default -> {}
        }
        return withColours(recipe, n);
    }

    private static Optional<Normalisation> trainedWith(Recipe recipe) {
        String init = recipe.section("train").text("init");
        boolean isVit =
                recipe.section("model").section("generator").text("type").equals("vit");
        if (init.isEmpty() || !isVit) return Optional.empty();
        Path named = InputFiles.path(init), run = RunFolder.last(named);
        boolean isRun = Files.exists(run) || Files.exists(RunFolder.best(named));
        if (!isRun && !Files.isRegularFile(named)) return Optional.empty(); // A run that resumes needs no file.
        Path file = Transfer.file(init);
        return Model.isCheckpoint(file) ? Optional.of(trainedCheckpoint(file)) : PretrainedVit.colours(file);
    }

    private static Normalisation trainedCheckpoint(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            return Model.config(t).generator().normalisation();
        }
    }

    /** The recipe of a run that resumes from a checkpoint: {@code preprocess: auto} means the checkpoint's colours. */
    public static Recipe resumed(Path checkpoint, Recipe recipe) {
        Settings g = recipe.section("model").section("generator");
        if (Normalisation.preset(g) != Normalisation.Preset.AUTO || !Model.isCheckpoint(checkpoint)) return recipe;
        return withColours(recipe, trainedCheckpoint(checkpoint));
    }

    private static Recipe withColours(Recipe recipe, Normalisation n) {
        return recipe.with(GENERATOR + "mean", n.mean())
                .with(GENERATOR + "std", n.std())
                .with(GENERATOR + "preprocess", "custom");
    }

    /**
     * The recipe with the pre-trained ViT of a file as its generator's backbone: its sizes, colours and weights
     * ({@code train.init}). The photographs keep the recipe's side, but no larger than those that the ViT was trained
     * on, and whole patches. Blocks that the readout reads keep their places, as fractions of the depth.
     *
     * @param assignments the user's own values, {@code key.path=value}, which win
     * @param log is told the values
     * @throws InputException if the file holds no ViT that can be read, or nothing tells its number of heads
     */
    public static Recipe onBackbone(Recipe recipe, Path file, List<String> assignments, Consumer<String> log) {
        PretrainedVit.Form form = PretrainedVit.form(file);
        Map<String, Object> values = new LinkedHashMap<>(form.keys());
        String heads = GENERATOR + "vit.heads";
        boolean givesHeads = recipe.changes(heads) || assignments.stream().anyMatch(a -> a.startsWith(heads + "="));
        if (!values.containsKey("vit.heads") && !givesHeads)
            throw new InputException(
                    file.toString(),
                    "holds " + form.text() + ", and neither it nor a file beside it tells the number of heads",
                    "Give -o " + heads + "=N, or put its config.json beside it");
        Settings before = recipe.section("model").section("generator");
        boolean keepsImage = assignments.stream().anyMatch(a -> a.startsWith(GENERATOR + "image="));
        if (!keepsImage)
            values.put(
                    "image",
                    Math.max(1, Math.min(before.integer("image", 1), form.image()) / form.patch()) * form.patch());
        boolean readsLayers = before.text("type").equals("vit")
                && !before.section("vit").integers("layers").isEmpty()
                && assignments.stream().noneMatch(a -> a.startsWith(GENERATOR + "vit.layers="));
        if (readsLayers && ownNetwork(recipe).backbone() instanceof Vit vit)
            values.put(
                    "vit.layers",
                    vit.layers().stream()
                            .map(l -> Math.max(
                                    1,
                                    Math.round((float) l
                                            * form.depth()
                                            / vit.encoder().depth())))
                            .distinct()
                            .toList());
        Recipe r = recipe;
        for (Map.Entry<String, Object> v : values.entrySet()) r = r.with(GENERATOR + v.getKey(), v.getValue());
        r = r.with("train.init", file.toString()).with(assignments);
        log.accept("backbone: " + form.text() + "; photographs of "
                + r.section("model").section("generator").integer("image", 1) + " pixels");
        return r;
    }

    /**
     * The generator of a recipe with a ViT, for photographs of one patch: the recipe's own may fit the file's alone.
     */
    private static Generator ownNetwork(Recipe recipe) {
        Settings g = recipe.section("model").section("generator");
        Recipe onePatch = recipe.with(GENERATOR + "image", g.section("vit").integer("patch", 1));
        return Generator.of(onePatch.section("model").section("generator"));
    }
}
