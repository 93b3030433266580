// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

/** Sizes of the Algonauts 2023 challenge's eight subjects (Gifford et al. 2023). */
public final class Challenge {
    private static final int[] TRAINING_IMAGES = {9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779};
    private static final int[] TEST_IMAGES = {159, 159, 293, 395, 159, 293, 159, 395};
    private static final int[] SESSIONS = {40, 40, 32, 30, 40, 32, 40, 30};

    private Challenge() {}

    /** Training images of a subject, 1 to 8. */
    public static int trainingImages(int subject) {
        return TRAINING_IMAGES[subject - 1];
    }

    /** Test images of a subject, 1 to 8. */
    public static int testImages(int subject) {
        return TEST_IMAGES[subject - 1];
    }

    /** Scan sessions of a subject, 1 to 8, in the Natural Scenes Dataset. The challenge holds out the last three. */
    public static int sessions(int subject) {
        return SESSIONS[subject - 1];
    }

    /** Vertices {left, right} of a subject, 1 to 8. Subjects 6 and 8 lack parts of the cortex. */
    public static int[] vertices(int subject) {
        if (subject == 6) return new int[] {18978, 20220};
        if (subject == 8) return new int[] {18981, 20530};
        return new int[] {19004, 20544};
    }
}
