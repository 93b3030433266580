// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
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
     * @param folder folder with {lh,rh}_test_fmri.npy
     * @param size side of the photographs, in pixels
     * @param cache folder of decoded photographs
     * @param log receives messages for the user
     */
    public HeldOut(AlgonautsSubject subject, Path folder, int size, Path cache, Consumer<String> log) {
        this(subject, testResponses(subject, folder), size, cache, log);
    }

    private HeldOut(AlgonautsSubject subject, float[] responses, int size, Path cache, Consumer<String> log) {
        super(subject, subject.testImages(), size, cache, log);
        this.responses = responses;
    }

    /**
     * Reads the responses to the test photographs.
     *
     * @return [photographs, vertices], left vertices then right
     * @throws InputException if the folder has none
     */
    public static float[] testResponses(AlgonautsSubject subject, Path folder) {
        if (!Files.isDirectory(folder))
            throw new InputException(
                    folder.toString(),
                    "is not a folder with test responses",
                    "The challenge does not publish test responses: use the validation split, or a simulated data set");
        return subject.testResponses(folder);
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
        return s.noiseCeiling()
                .map(c -> NoiseCeiling.concat(
                        NoiseCeiling.of(s.folder() + "/lh_noise_ceiling.npy", c[0], unit),
                        NoiseCeiling.of(s.folder() + "/rh_noise_ceiling.npy", c[1], unit)))
                .orElse(null);
    }

    /** Summarises the correlations of a subject's vertices by hemisphere and ROI. */
    public static Evaluation summary(String label, PearsonAccumulator acc, AlgonautsSubject s, NoiseCeiling.Unit unit) {
        return summary(label, acc, s, unit, null);
    }

    /**
     * The same with the significance of each vertex's r.
     *
     * @param test of the same images; null for none
     */
    public static Evaluation summary(
            String label,
            PearsonAccumulator acc,
            AlgonautsSubject s,
            NoiseCeiling.Unit unit,
            @Nullable PermutationTest test) {
        return Evaluation.of(label, acc, s.left(), s.groups(), ceiling(s, unit), test == null ? null : test.run());
    }
}
