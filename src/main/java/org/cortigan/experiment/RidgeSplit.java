// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.RowSource;
import org.cortigan.ridge.Ridge;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageSplit;
import org.jspecify.annotations.Nullable;

/** The photographs of a subject that a ridge regression is fitted on, and those that it is evaluated on. */
public final class RidgeSplit {
    private final AlgonautsSubject subject;
    private final @Nullable ImageSplit split;
    private final RowSource responses;
    private final RowSource heldOut;
    private final int[] notMeasured;

    private RidgeSplit(
            AlgonautsSubject subject,
            @Nullable ImageSplit split,
            RowSource responses,
            RowSource heldOut,
            int[] notMeasured) {
        this.subject = subject;
        this.split = split;
        this.responses = responses;
        this.heldOut = heldOut;
        this.notMeasured = notMeasured;
    }

    /**
     * Fits on all training photographs and evaluates on the test photographs.
     *
     * @param folder folder with {lh,rh}_test_fmri.npy
     * @param log receives what the user should know about the files
     * @throws InputException if it is no such folder
     */
    public static RidgeSplit test(AlgonautsSubject subject, Path folder, Consumer<String> log) {
        AlgonautsSubject.TestResponses test = HeldOut.testResponses(subject, folder, log);
        RowSource heldOut = RowSource.of(test.values(), subject.testImages().size(), subject.vertices());
        return new RidgeSplit(subject, null, trainingResponses(subject), heldOut, test.notMeasured());
    }

    /**
     * Fits on a part of the training photographs and evaluates on the others.
     *
     * @throws InputException if the split holds out no photographs
     */
    public static RidgeSplit validation(AlgonautsSubject subject, ImageSplit split) {
        if (split.validation().length == 0)
            throw new InputException(
                    "the validation split", "holds out no images", "Raise train.validation or --validation");
        RowSource all = trainingResponses(subject);
        return new RidgeSplit(
                subject,
                split,
                RowSource.rows(all, split.training()),
                RowSource.rows(all, split.validation()),
                new int[0]);
    }

    private static RowSource trainingResponses(AlgonautsSubject subject) {
        int v = subject.vertices();
        return new RowSource() {
            @Override
            public int rows() {
                return subject.trainingImages().size();
            }

            @Override
            public int columns() {
                return v;
            }

            @Override
            public void read(int first, int count, float[] into) {
                ByteBuffer row = ByteBuffer.allocate(4 * v).order(ByteOrder.LITTLE_ENDIAN);
                for (int i = 0; i < count; i++) {
                    subject.responses(first + i, row.clear());
                    row.flip().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(into, i * v, v);
                }
            }
        };
    }

    /** The subject that saw the photographs. */
    AlgonautsSubject subject() {
        return subject;
    }

    /** Name in labels. */
    String name() {
        return split == null ? "test split" : "validation split";
    }

    /** Responses to fit on, [images, vertices]. */
    RowSource responses() {
        return responses;
    }

    /** Responses to evaluate on, [images, vertices]. */
    RowSource heldOut() {
        return heldOut;
    }

    /** Vertices without responses to evaluate on. */
    int[] notMeasured() {
        return notMeasured;
    }

    /** Features to fit on, one band for each source. */
    List<Ridge.Band> features(List<FeatureSource> sources) {
        return sources.stream()
                .map(s -> new Ridge.Band(s.name(), rows(s.training(), split == null ? null : split.training())))
                .toList();
    }

    /** Features to evaluate on. */
    List<RowSource> heldOutFeatures(List<FeatureSource> sources) {
        return sources.stream()
                .map(s -> split == null ? s.test() : rows(s.training(), split.validation()))
                .toList();
    }

    private static RowSource rows(RowSource all, int @Nullable [] rows) {
        return rows == null ? all : RowSource.rows(all, rows);
    }
}
