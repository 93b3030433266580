// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.cortigan.config.Settings;
import org.cortigan.io.Json;

/** The state of a run besides its variables. Checkpoints store it in their metadata. */
final class RunState {
    /** Counts the updates of a group of parameters. */
    static final class UpdateCount {
        private long applied;
        private boolean lastUpdateSkipped;

        /**
         * Number of the next update, from 1 on, for the optimizer's bias correction. On an asynchronous device, the
         * result of the previous update (applied or skipped) is not known yet when the next one is queued. So an update
         * counts as applied until the next one is queued, even if its result is already known. This keeps resumed runs
         * bitwise equal to uninterrupted ones.
         *
         * @param asynchronous whether the device runs asynchronously
         * @param pending whether the losses of the last update are not known yet
         */
        long next(boolean asynchronous, boolean pending) {
            return applied + 1 + (asynchronous && (pending || lastUpdateSkipped) ? 1 : 0);
        }

        /** Counts an update that was applied, or skipped because its gradients were not finite. */
        void count(boolean updated) {
            lastUpdateSkipped = !updated;
            if (updated) applied++;
        }

        private void putSkipped(Map<String, Object> json, String key) {
            if (lastUpdateSkipped) json.put(key, true);
        }

        private static UpdateCount of(Settings json, String appliedKey, String skippedKey) {
            UpdateCount c = new UpdateCount();
            c.applied = json.whole(appliedKey);
            c.lastUpdateSkipped = isSet(json, skippedKey);
            return c;
        }
    }

    /** The state of the steps of one subject. */
    static final class SubjectState {
        /** Steps of this subject that are done. */
        long step;

        /** Updates of the subject's own parameters: its head, or the whole generator in a model of one subject. */
        UpdateCount generator = new UpdateCount();

        UpdateCount discriminators = new UpdateCount();

        /** Sums of the losses of the epoch so far, in the order of {@link StepLosses}. */
        final double[] sums;

        /** Fingerprint of the discriminators' regions, see {@link SubjectSetup#fingerprint}. */
        private final long regions;

        SubjectState(int losses, long regions) {
            sums = new double[losses];
            this.regions = regions;
        }

        private Map<String, Object> toMap() {
            Map<String, Object> json = new LinkedHashMap<>();
            json.put("step", step);
            json.put("applied", generator.applied);
            json.put("applied_d", discriminators.applied);
            generator.putSkipped(json, "missed");
            discriminators.putSkipped(json, "missed_d");
            json.put("regions", regions);
            json.put("sums", Arrays.stream(sums).mapToObj(Double::toString).toList());
            return json;
        }

        private static SubjectState of(Settings json) {
            List<?> sums = list(json, "sums");
            SubjectState s = new SubjectState(sums.size(), json.whole("regions"));
            s.step = json.whole("step");
            s.generator = UpdateCount.of(json, "applied", "missed");
            s.discriminators = UpdateCount.of(json, "applied_d", "missed_d");
            for (int i = 0; i < s.sums.length; i++) s.sums[i] = Double.parseDouble((String) sums.get(i));
            return s;
        }
    }

    private static final String EPOCHS_SINCE_BEST = "epochs_since_best";

    private final long stepsPerEpoch;
    private final long seed;
    private final List<SubjectState> subjects;
    private long step;
    private UpdateCount generator = new UpdateCount();
    private int skippedInEpoch;
    private int skippedInARow;
    private double best = Double.NEGATIVE_INFINITY;
    private long epochsSinceBest;

    /** The state of a run before its first step. */
    RunState(long stepsPerEpoch, long seed, List<SubjectState> subjects) {
        this.stepsPerEpoch = stepsPerEpoch;
        this.seed = seed;
        this.subjects = List.copyOf(subjects);
    }

    /** Steps done, or queued if the device runs asynchronously. */
    long step() {
        return step;
    }

    void nextStep() {
        step++;
    }

    SubjectState subject(int i) {
        return subjects.get(i);
    }

    /** Updates of the generator; in a model of several subjects, of the shared backbone. */
    UpdateCount generator() {
        return generator;
    }

    /** Consecutive steps in which an update of the generator or of the discriminators was skipped. */
    int skippedInARow() {
        return skippedInARow;
    }

    /**
     * Counts a step whose losses are known.
     *
     * @param complete whether all updates of the step were applied, including the discriminators' if there are any
     */
    void countStep(boolean generatorUpdated, boolean complete) {
        generator.count(generatorUpdated);
        if (complete) {
            skippedInARow = 0;
        } else {
            skippedInEpoch++;
            skippedInARow++;
        }
    }

    /** Returns the number of steps of the epoch with a skipped update, and resets it. */
    int takeSkippedInEpoch() {
        int n = skippedInEpoch;
        skippedInEpoch = 0;
        return n;
    }

    /**
     * Records the validation of an epoch.
     *
     * @param meanR mean r; NaN without validation, and then every epoch counts as the best
     * @return whether this epoch is the best so far
     */
    boolean updateBest(double meanR) {
        boolean validated = !Double.isNaN(meanR);
        if (validated && !(meanR > best)) {
            epochsSinceBest++;
            return false;
        }
        best = validated ? meanR : Double.NEGATIVE_INFINITY;
        epochsSinceBest = 0;
        return true;
    }

    /** Best mean r so far; negative infinity if there is none. */
    double best() {
        return best;
    }

    /** Makes the next epoch the best so far. */
    void forgetBest() {
        best = Double.NEGATIVE_INFINITY;
    }

    /** Epochs whose validation was not better than the best before them, since the best one. */
    long epochsSinceBest() {
        return epochsSinceBest;
    }

    /** The state as metadata of a checkpoint. */
    Map<String, Object> toMap() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("step", step);
        json.put("steps_per_epoch", stepsPerEpoch);
        json.put("seed", seed);
        json.put("applied_g", generator.applied);
        generator.putSkipped(json, "missed_g");
        json.put("skipped", skippedInEpoch);
        json.put("skipped_in_a_row", skippedInARow);
        json.put("best", Double.toString(best));
        if (epochsSinceBest > 0) json.put(EPOCHS_SINCE_BEST, epochsSinceBest);
        json.put("subjects", subjects.stream().map(SubjectState::toMap).toList());
        return json;
    }

    /**
     * Reads the state from the metadata of a checkpoint.
     *
     * @param where source, for messages
     */
    static RunState of(Map<String, Object> values, String where) {
        Settings json = Settings.of(where, values);
        List<SubjectState> subjects = new ArrayList<>();
        for (Object subject : list(json, "subjects"))
            subjects.add(SubjectState.of(Settings.of(where, Json.object(subject, where))));
        RunState s = new RunState(json.whole("steps_per_epoch"), json.whole("seed"), subjects);
        s.step = json.whole("step");
        s.generator = UpdateCount.of(json, "applied_g", "missed_g");
        s.skippedInEpoch = (int) json.whole("skipped");
        s.skippedInARow = (int) json.whole("skipped_in_a_row");
        s.best = Double.parseDouble(json.text("best"));
        s.epochsSinceBest = json.values().containsKey(EPOCHS_SINCE_BEST) ? json.whole(EPOCHS_SINCE_BEST) : 0;
        return s;
    }

    private static List<?> list(Settings json, String key) {
        if (json.values().get(key) instanceof List<?> list) return list;
        throw json.wrong(key, "is not a list", "Use a checkpoint that CortiGAN wrote");
    }

    private static boolean isSet(Settings json, String key) {
        return Boolean.TRUE.equals(json.values().get(key));
    }

    /** Why this state and another are not of runs with the same steps; empty if they are. */
    Optional<String> otherRun(RunState other) {
        if (stepsPerEpoch != other.stepsPerEpoch || seed != other.seed)
            return Optional.of("it is of a run with " + stepsPerEpoch + " steps per epoch and seed " + seed + ", not "
                    + other.stepsPerEpoch + " and " + other.seed);
        for (int i = 0; i < other.subjects.size(); i++) {
            SubjectState mine = subjects.get(i), theirs = other.subjects.get(i);
            if (mine.sums.length != theirs.sums.length)
                return Optional.of("it has sums of " + mine.sums.length + " losses, this run has " + theirs.sums.length
                        + " losses");
            if (mine.regions != theirs.regions)
                return Optional.of("its discriminators see other vertices, or see them in another order");
        }
        return Optional.empty();
    }
}
