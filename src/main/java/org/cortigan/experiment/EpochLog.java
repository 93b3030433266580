// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.cortigan.InputException;

/**
 * What a run has logged, from its metrics.csv.
 *
 * @param columns names
 * @param epochs the cells of each epoch
 */
record EpochLog(List<String> columns, List<String[]> epochs) {
    static EpochLog read(Path runFolder) {
        Path file = runFolder.resolve("metrics.csv");
        try {
            List<String> lines = Files.readAllLines(file);
            return new EpochLog(
                    List.of(lines.get(0).split(",")),
                    lines.stream().skip(1).map(l -> l.split(",")).toList());
        } catch (IOException e) {
            throw new InputException(file.toString(), "cannot be read: " + e, "Remove the run's folder", e);
        }
    }

    /** A column's number in every epoch. */
    double[] numbers(String column) {
        int index = columns.indexOf(column);
        return epochs.stream()
                .mapToDouble(cells -> Double.parseDouble(cells[index]))
                .toArray();
    }
}
