// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Subset;
import org.cortigan.train.TrainingData;

/** The training images and responses of the subjects of one run. */
public final class TrainingSets implements AutoCloseable {
    private final Map<String, TrainingData> bySubject = new LinkedHashMap<>();
    private final Map<String, AlgonautsSubject> subjects = new LinkedHashMap<>();
    private final Deque<Runnable> open = new ArrayDeque<>();

    private TrainingSets() {}

    /**
     * Opens the data of several subjects and checks that all responses are finite.
     *
     * @param imageSize side of the images in pixels
     * @param limit maximum number of images of each subject
     * @param log receives messages for the user
     * @throws org.cortigan.InputException if data are missing or wrong
     */
    public static TrainingSets open(
            DataFolder data, List<Integer> subjects, int imageSize, int limit, Consumer<String> log) {
        TrainingSets sets = new TrainingSets();
        try {
            for (int number : subjects) {
                String name = subjects.size() == 1 ? "" : AlgonautsSubject.folderName(number);
                sets.bySubject.put(name, sets.open(data, name, number, imageSize, limit, log));
            }
            return sets;
        } catch (RuntimeException | Error e) {
            sets.close();
            throw e;
        }
    }

    private TrainingData open(
            DataFolder data, String name, int number, int imageSize, int limit, Consumer<String> log) {
        AlgonautsSubject subject = data.open(number, log);
        open.push(subject::close);
        subjects.put(name, subject);
        SubjectData all = new SubjectData(subject, imageSize, data.cache(), log);
        open.push(all::close);
        subject.checkFinite();
        return all.count() <= limit
                ? all
                : new Subset(all, IntStream.range(0, limit).toArray());
    }

    /** Data by subject name, in the order of the subjects; a single subject has the empty name. */
    public Map<String, TrainingData> bySubject() {
        return Collections.unmodifiableMap(bySubject);
    }

    /** The subjects by the same names. */
    public Map<String, AlgonautsSubject> subjects() {
        return Collections.unmodifiableMap(subjects);
    }

    @Override
    public void close() {
        while (!open.isEmpty()) open.pop().run();
    }
}
