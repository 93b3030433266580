// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.io.Csv;

/**
 * The metrics.csv of a run.
 *
 * @param columns names of the columns
 * @param epochs cells of each epoch
 */
record EpochLog(List<String> columns, List<List<String>> epochs) {
    static EpochLog read(Path runFolder) {
        Path file = runFolder.resolve("metrics.csv");
        List<List<String>> lines = Csv.read(file);
        if (lines.isEmpty()) throw new InputException(file.toString(), "is empty", "Remove the run folder");
        return new EpochLog(lines.get(0), lines.subList(1, lines.size()));
    }

    /** The numbers of a column, one per epoch. */
    double[] numbers(String column) {
        int index = columns.indexOf(column);
        return epochs.stream()
                .mapToDouble(cells -> Double.parseDouble(cells.get(index)))
                .toArray();
    }
}
