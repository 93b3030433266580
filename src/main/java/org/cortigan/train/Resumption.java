// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.io.Json;
import org.cortigan.model.Diffusion;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.ResponseScaling;
import org.jspecify.annotations.Nullable;

/**
 * What a run may change when it resumes: the values of its recipe against those of the checkpoint's.
 *
 * @param recipe of the run that resumes
 * @param schedule of that run
 * @param acceptsChanges whether the user accepts other losses, optimizer values and data
 */
record Resumption(Recipe recipe, StepSchedule schedule, boolean acceptsChanges) {
    /** Beginning of the keys of the generator. */
    static final String GENERATOR = "model.generator.";

    /** What a difference in a value means. */
    private enum Rule {
        /** The user is told. */
        TOLD,
        /** The run would no longer be the run of its first epochs: refused, unless the user accepts changes. */
        ASKED,
        /** The model has seen some of the images that would now be held out, and its validation r would flatter. */
        REFUSED;

        static Rule of(String key) {
            if (key.startsWith(GENERATOR) && Diffusion.isOfSampling(key.substring(GENERATOR.length()))) return TOLD;
            return switch (key) {
                case "train.epochs",
                        "train.patience",
                        "train.checkpoint_steps",
                        "train.precision",
                        "train.fp8_layers",
                        "train.recompute",
                        "train.data_on_device",
                        "train.cache_features",
                        "train.initial_readout",
                        "train.init",
                        "train.init_unet" -> TOLD;
                case "train.validation", "train.seed" -> REFUSED;
                default -> ASKED;
            };
        }
    }

    /** A value that differs; null where a recipe does not have the key, because it uses other networks. */
    record Change(
            String key, @Nullable Object now, @Nullable Object saved) {
        Rule rule() {
            return Rule.of(key);
        }

        @Override
        public String toString() {
            boolean begins = key.startsWith("train.init"); // initial values
            return difference() + (begins ? " (without effect: the weights are the checkpoint's)" : "");
        }

        String difference() {
            return key + " is " + text(now) + ", the checkpoint has " + text(saved);
        }

        private static String text(@Nullable Object value) {
            return value == null ? "none" : Json.compact(value);
        }
    }

    /**
     * Checks the recipe of a checkpoint.
     *
     * @param saved empty if the checkpoint stores none
     * @param otherRun why the run cannot go on from the checkpoint's state, whatever the user accepts; empty if it can
     * @throws InputException if the run cannot resume with its own recipe
     */
    void requireRecipe(Path file, Optional<Recipe> saved, Optional<String> otherRun) {
        List<Change> changes = saved.map(s -> changes(recipe, s)).orElse(List.of());
        refuse(
                file,
                changes,
                Rule.REFUSED,
                "Other images would be held out: resume with the checkpoint's values, or start a new run");
        if (otherRun.isPresent()) {
            String asked = text(changes, Rule.ASKED);
            throw new InputException(
                    file.toString(),
                    "cannot be resumed: " + otherRun.get() + (asked.isEmpty() ? "" : ": " + asked),
                    "Resume with the recipe, the images and the ROI masks of that run, or start a new run");
        }
        if (!acceptsChanges)
            refuse(
                    file,
                    changes,
                    Rule.ASKED,
                    "Resume with the checkpoint's values, start a new run, or accept these with train --allow-changes");
    }

    /**
     * Checks that the run does not end before the state of the checkpoint.
     *
     * @throws InputException if it does
     */
    void requireEpochs(Path file, RunState state) {
        if (state.step() <= schedule.steps()) return;
        long epoch = (state.step() + schedule.stepsPerEpoch() - 1) / schedule.stepsPerEpoch();
        throw new InputException(
                file.toString(),
                "cannot be resumed: its run has come to epoch " + epoch + ", but train.epochs is "
                        + schedule.steps() / schedule.stepsPerEpoch(),
                "Set train.epochs to at least " + epoch + ", or start a new run");
    }

    /** Messages for the user about all that differs. */
    List<String> differences(Path file, Optional<Recipe> saved, RunState state) {
        if (saved.isEmpty()) return List.of(file + " stores no recipe, so its values are not compared with this run's");
        List<String> told = new ArrayList<>();
        for (Change c : changes(recipe, saved.get())) told.add("resumed with another value: " + c);
        if (!told.isEmpty()) told.addAll(rates(saved.get(), state));
        return told;
    }

    private static void refuse(Path file, List<Change> changes, Rule rule, String remedy) {
        String all = text(changes, rule);
        if (!all.isEmpty()) throw new InputException(file.toString(), "cannot be resumed: " + all, remedy);
    }

    private static String text(List<Change> changes, Rule rule) {
        return changes.stream()
                .filter(c -> c.rule() == rule)
                .map(Change::toString)
                .collect(Collectors.joining("; "));
    }

    /** The values of the networks that differ, for a message about another model. */
    String networks(Recipe saved) {
        return changes(recipe, saved).stream()
                .filter(c -> c.key.startsWith("model."))
                .map(Change::toString)
                .collect(Collectors.joining("; "));
    }

    /**
     * Checks that the network goes on with the responses that it has learned, as far as their means and scale tell:
     * another subject's, or those of other training images, have others.
     *
     * @param now scaling of the run's training responses
     * @param saved scaling in the checkpoint
     * @return what differs, for the user; empty if nothing does
     * @throws InputException if something differs and the user does not accept changes
     */
    Optional<String> requireResponses(
            Path file, ModelConfig.Subject subject, ResponseScaling now, ResponseScaling saved) {
        long means = now.differingMeans(saved), scales = now.differingScales(saved);
        if (means == 0 && scales == 0) return Optional.empty();
        String difference = "the training responses" + (subject.name().isEmpty() ? "" : " of " + subject.name())
                + " are others than those of the checkpoint: " + means + " of "
                + subject.vertices() + " vertices have another mean"
                + (scales == 0
                        ? ""
                        : ", and " + scales + " another scale, such as " + now.scale(0) + " instead of "
                                + saved.scale(0));
        if (acceptsChanges) return Optional.of("resumed with other data: " + difference);
        throw new InputException(
                file.toString(),
                "cannot be resumed: " + difference,
                "Resume with the data of that run, start a new run, or accept these with train --allow-changes");
    }

    /** A schedule ends with the last epoch, so more epochs change the learning rate at once. */
    private List<String> rates(Recipe saved, RunState state) {
        int epochs = TrainSettings.of(saved).epochs();
        StepSettings settings = schedule.settings();
        StepSchedule before = new StepSchedule(
                StepSettings.of(
                        saved,
                        settings.model().subjects(),
                        TrainSettings.of(saved).precision()),
                schedule.stepsPerEpoch(),
                schedule.stepsPerEpoch() * epochs);
        List<String> told = new ArrayList<>();
        long step = state.step();
        rate("learning rate", s -> s.generatorRate(step), before).ifPresent(told::add);
        if (settings.adversarial())
            rate("discriminators' learning rate", s -> s.discriminatorRate(step), before)
                    .ifPresent(told::add);
        return told;
    }

    private Optional<String> rate(String what, ToDoubleFunction<StepSchedule> rate, StepSchedule before) {
        double now = rate.applyAsDouble(schedule), was = rate.applyAsDouble(before);
        if (now == was) return Optional.empty();
        return Optional.of(String.format(
                Locale.ROOT,
                "the %s goes on at %.3g; by the checkpoint's recipe it would be %.3g here",
                what,
                now,
                was));
    }

    /** The values that affect a run and differ. */
    static List<Change> changes(Recipe recipe, Recipe saved) {
        Map<String, Object> now = flat(recipe), before = flat(saved);
        TreeSet<String> keys = new TreeSet<>(now.keySet());
        keys.addAll(before.keySet());
        return keys.stream()
                .map(key -> new Change(key, now.get(key), before.get(key)))
                .filter(c -> !Objects.equals(comparable(c.now), comparable(c.saved)))
                .toList();
    }

    /** Makes equal numbers of different types equal, such as 1 and 1.0. */
    private static @Nullable Object comparable(@Nullable Object value) {
        if (value instanceof Number n) return new BigDecimal(n.toString()).stripTrailingZeros();
        if (value instanceof List<?> list)
            return list.stream().map(Resumption::comparable).toList();
        return value;
    }

    /** The values that affect a run, by their paths. */
    private static Map<String, Object> flat(Recipe recipe) {
        Map<String, Object> flat = new LinkedHashMap<>();
        put("", recipe.decisive(), flat);
        return flat;
    }

    private static void put(String path, Map<String, Object> values, Map<String, Object> into) {
        values.forEach((k, v) -> {
            if (v instanceof Map<?, ?>) put(path + k + ".", Json.object(v, k), into);
            else into.put(path + k, v);
        });
    }
}
