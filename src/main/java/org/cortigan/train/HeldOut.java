// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.eval.PermutationTest;
import org.jspecify.annotations.Nullable;

/**
 * The test split of a subject with its responses, which training never reads. Simulated data sets have such responses;
 * the challenge does not publish its own.
 */
public final class HeldOut extends CachedSubject {
    private final float[] responses;

    /**
     * Opens the test split.
     *
     * @param responses to the test photographs
     * @param size side of the photographs, in pixels
     * @param cache folder of decoded photographs
     * @param log receives messages for the user
     */
    public HeldOut(
            AlgonautsSubject subject,
            AlgonautsSubject.TestResponses responses,
            int size,
            Path cache,
            Consumer<String> log) {
        super(subject, subject.testImages(), size, cache, log);
        this.responses = responses.values();
    }

    /**
     * Reads the responses to the test photographs.
     *
     * @param folder folder with {lh,rh}_test_fmri.npy
     * @param log receives what the user should know about the files
     * @throws InputException if the folder has none
     */
    public static AlgonautsSubject.TestResponses testResponses(
            AlgonautsSubject subject, Path folder, Consumer<String> log) {
        if (!Files.isDirectory(folder))
            throw new InputException(
                    folder.toString(),
                    "is not a folder with test responses",
                    "The challenge does not publish test responses: use --split validation, or a simulated data set, or"
                            + " put {lh,rh}_test_fmri.npy into "
                            + subject.folder().resolve(AlgonautsSubject.TEST_FMRI));
        return subject.testResponses(folder, log);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        int v = subject.vertices();
        into.asFloatBuffer().put(responses, i * v, v);
        into.position(into.position() + 4 * v);
    }

    /**
     * The noise ceilings of all vertices.
     *
     * @param unit unit of the values in the files
     * @return null if the subject has no noise ceilings
     */
    public static @Nullable NoiseCeiling ceiling(AlgonautsSubject s, NoiseCeiling.Unit unit) {
        List<NoiseCeiling> hemispheres = s.noiseCeiling().stream()
                .map(c -> NoiseCeiling.of(c.file().toString(), c.values(), unit))
                .toList();
        return hemispheres.isEmpty() ? null : NoiseCeiling.concat(hemispheres.get(0), hemispheres.get(1));
    }

    /**
     * Summarises the correlations of a subject's vertices by hemisphere and ROI.
     *
     * @param notMeasured vertices without responses to these photographs, which are left out
     * @param test of the same photographs; null for none
     * @param prediction how the predictions were made
     */
    public static Evaluation summary(
            String label,
            PearsonAccumulator acc,
            AlgonautsSubject s,
            NoiseCeiling.Unit unit,
            int[] notMeasured,
            @Nullable PermutationTest test,
            Evaluation.Prediction prediction) {
        return Evaluation.of(
                label,
                acc,
                s.left(),
                s.groups(),
                ceiling(s, unit),
                test == null ? null : test.run(),
                s.missing(),
                notMeasured,
                prediction,
                new Evaluation.Source(s.folder(), s.number(), unit));
    }
}
