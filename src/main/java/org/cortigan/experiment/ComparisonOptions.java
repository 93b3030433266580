// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.eval.NoiseCeiling;

/**
 * What a comparison trains and evaluates: every recipe with every seed for every subject.
 *
 * @param out folder of the table and the runs
 * @param recipes bundled names or YAML files, at least one
 * @param assignments KEY=VALUE, overrides of every recipe
 * @param seeds at least one; duplicates are removed, also from subjects
 * @param ablation whether to train each recipe also without its GAN loss
 * @param pairs A=B, names of two recipes whose difference is shown
 * @param unit of the subjects' noise ceilings
 */
public record ComparisonOptions(
        DataFolder data,
        Path out,
        List<String> recipes,
        List<String> assignments,
        List<Long> seeds,
        List<Integer> subjects,
        boolean ablation,
        List<String> pairs,
        NoiseCeiling.Unit unit) {
    public ComparisonOptions {
        if (recipes.isEmpty())
            throw new InputException("--recipes", "names no recipe", "Name bundled recipes or YAML files");
        seeds = seeds.stream().distinct().toList();
        subjects = subjects.stream().distinct().toList();
    }
}
