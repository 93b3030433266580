// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;

/**
 * Normalisation of colours: (x - mean) / std for each of red, green and blue, with x in 0..1.
 *
 * @param mean three numbers
 * @param std three numbers above 0
 */
public record Normalisation(List<Double> mean, List<Double> std) {
    /** From the section {@code model.generator} of a recipe. */
    static Normalisation of(Settings s) {
        Normalisation n = new Normalisation(s.numbers("mean", 3), s.numbers("std", 3));
        for (double d : n.std) if (d <= 0) throw s.wrong("std", d + " is not positive", "Give numbers above 0");
        return n;
    }
}
