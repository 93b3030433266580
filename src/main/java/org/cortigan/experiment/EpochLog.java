// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.io.IOException;
import java.nio.file.Files;
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
        try {
            List<List<String>> lines = Csv.parse(Files.readString(file));
            return new EpochLog(lines.get(0), lines.subList(1, lines.size()));
        } catch (IOException e) {
            throw new InputException(file.toString(), "cannot be read: " + e, "Remove the run folder", e);
        }
    }

    /** The numbers of a column, one per epoch. */
    double[] numbers(String column) {
        int index = columns.indexOf(column);
        return epochs.stream()
                .mapToDouble(cells -> Double.parseDouble(cells.get(index)))
                .toArray();
    }
}
