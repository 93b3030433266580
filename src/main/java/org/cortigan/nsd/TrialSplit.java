// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.cortigan.InputException;
import org.cortigan.eval.AveragedTrials;

/**
 * The photographs of the training and of the test set, by number, each with the trials that its response averages.
 *
 * @param training trials of each training photograph, in the order of the photographs' numbers
 * @param test the same for the test photographs
 */
record TrialSplit(Map<Integer, List<Integer>> training, Map<Integer, List<Integer>> test) {
    /** Sessions that the challenge holds out, and the times that NSD shows a photograph. */
    static final int HELD_OUT_SESSIONS = 3, REPEATS = 3;

    TrialSplit {
        if (training.isEmpty())
            throw new InputException(
                    "--test", "leaves no photograph for training", "Choose fewer test photographs, or more sessions");
    }

    /** All photographs for training. */
    static TrialSplit none(int[] photographs) {
        return new TrialSplit(byPhotograph(photographs, 0, photographs.length), Map.of());
    }

    /**
     * As the challenge's organisers split (challenge_data_preparation.py of gifale95/algonauts_2023). The test
     * photographs are those seen in the last sessions only, without the shared ones, which other subjects saw earlier;
     * a subject with all sessions keeps the shared ones whose repeats all lie in these sessions. A training response
     * averages the trials before.
     *
     * @param photographs photograph of each trial
     * @param firstHeldOut first trial of the held-out sessions
     * @param complete whether the subject has all sessions of the design
     */
    static TrialSplit challenge(int[] photographs, int firstHeldOut, boolean complete, Set<Integer> shared) {
        Map<Integer, List<Integer>> training = byPhotograph(photographs, 0, firstHeldOut);
        Map<Integer, List<Integer>> test = byPhotograph(photographs, firstHeldOut, photographs.length);
        test.keySet().removeAll(training.keySet());
        test.entrySet()
                .removeIf(e -> shared.contains(e.getKey())
                        && !(complete && e.getValue().size() == REPEATS));
        if (test.isEmpty())
            throw new InputException(
                    "--test challenge",
                    "finds no photograph that was seen in the last " + HELD_OUT_SESSIONS + " sessions only",
                    "Add --test shared");
        return new TrialSplit(training, test);
    }

    /** These photographs for the test, all others for training. */
    static TrialSplit of(int[] photographs, Set<Integer> tested) {
        Map<Integer, List<Integer>> training = byPhotograph(photographs, 0, photographs.length);
        Map<Integer, List<Integer>> test = new TreeMap<>(training);
        test.keySet().retainAll(tested);
        training.keySet().removeAll(tested);
        if (test.isEmpty())
            throw new InputException(
                    "--test shared", "finds no shared photograph in these sessions", "Add sessions, or --test none");
        return new TrialSplit(training, test);
    }

    private static Map<Integer, List<Integer>> byPhotograph(int[] photographs, int from, int to) {
        Map<Integer, List<Integer>> trials = new TreeMap<>();
        for (int t = from; t < to; t++)
            trials.computeIfAbsent(photographs[t], p -> new ArrayList<>()).add(t);
        return trials;
    }

    /** The responses whose noise ceiling is of use: those of the test set, without one those of the training set. */
    private Map<Integer, List<Integer>> measured() {
        return test.isEmpty() ? training : test;
    }

    /** How many trials the responses average whose noise ceiling is written. */
    AveragedTrials averaged() {
        return new AveragedTrials(measured().values().stream()
                .mapToDouble(trials -> 1.0 / trials.size())
                .average()
                .orElseThrow());
    }

    /** Number of photographs by number of trials. */
    static Map<Integer, Integer> seen(Map<Integer, List<Integer>> set) {
        Map<Integer, Integer> counts = new TreeMap<>();
        set.values().forEach(trials -> counts.merge(trials.size(), 1, Integer::sum));
        return counts;
    }
}
