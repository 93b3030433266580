// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.Arrays;
import org.cortigan.config.Settings;

/**
 * The split of a data set into training and validation photographs.
 *
 * @param training indices in ascending order
 * @param validation indices in ascending order; empty if the recipe holds out no photographs
 */
public record ImageSplit(int[] training, int[] validation) {
    /** Largest share of the photographs that a recipe may hold out. */
    public static final double MAX_VALIDATION = 0.9;

    /** Makes the split independent of the order of the epochs, which uses the same seed. */
    private static final long SEED_MASK = 0x5EEDL;

    /** Splits {@code count} photographs at random, by the recipe's seed and validation share. */
    public static ImageSplit of(Recipe recipe, int count) {
        return of(seed(recipe), validationPart(recipe), count);
    }

    /**
     * Splits {@code count} photographs as a recipe with this seed does.
     *
     * @param validation share of the photographs to hold out, 0 to 0.9
     */
    public static ImageSplit of(long seed, double validation, int count) {
        int[] shuffled = Permutations.order(count, seed ^ SEED_MASK, -1);
        int heldOut = (int) Math.round(count * validation);
        return new ImageSplit(
                ascending(Arrays.copyOfRange(shuffled, heldOut, count)), ascending(Arrays.copyOf(shuffled, heldOut)));
    }

    /** Whether two recipes hold out the same photographs of every data set. */
    static boolean isSame(Recipe a, Recipe b) {
        return seed(a) == seed(b) && validationPart(a) == validationPart(b);
    }

    private static long seed(Recipe recipe) {
        return recipe.section("train").whole("seed");
    }

    private static double validationPart(Recipe recipe) {
        Settings train = recipe.section("train");
        return train.number("validation", 0, MAX_VALIDATION);
    }

    private static int[] ascending(int[] indices) {
        Arrays.sort(indices);
        return indices;
    }
}
