// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * A partition of the images. Folds have consecutive places in {@code order}, and the first folds have one image more if
 * the number of images is no multiple of theirs, as in scikit-learn's KFold.
 *
 * @param order the images, fold by fold
 * @param count number of folds
 */
record Folds(int[] order, int count) {
    /** @param seed seed of a random order; null for the order of the images */
    static Folds of(int images, int count, @Nullable Long seed) {
        if (images < 2 * count) {
            throw new InputException(
                    "ridge",
                    images + " images are too few for " + count + " folds of at least 2",
                    "Choose fewer folds, or leave-one-out");
        }
        List<Integer> order = IntStream.range(0, images).boxed().collect(Collectors.toList());
        if (seed != null) {
            Collections.shuffle(order, new Random(seed));
        }
        return new Folds(order.stream().mapToInt(Integer::intValue).toArray(), count);
    }

    /** One image a fold. */
    static Folds leaveOneOut(int images) {
        return new Folds(IntStream.range(0, images).toArray(), images);
    }

    int images() {
        return order.length;
    }

    /** Place of a fold's first image; that of fold {@link #count} is the number of images. */
    int first(int fold) {
        int size = images() / count, larger = images() % count;
        return fold * size + Math.min(fold, larger);
    }

    int size(int fold) {
        return first(fold + 1) - first(fold);
    }

    /** Weight of each of a fold's images in the mean of the folds' means. */
    double weight(int fold) {
        return 1.0 / count / size(fold);
    }

    /** The images of a fold. */
    int[] images(int fold) {
        return Arrays.copyOfRange(order, first(fold), first(fold + 1));
    }

    /** The images of all other folds. */
    int[] others(int fold) {
        return IntStream.concat(Arrays.stream(order, 0, first(fold)), Arrays.stream(order, first(fold + 1), images()))
                .toArray();
    }
}
