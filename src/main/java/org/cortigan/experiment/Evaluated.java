// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.Map;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.PhotographScores;
import org.cortigan.io.AtomicFiles;
import org.jspecify.annotations.Nullable;

/**
 * An evaluation, and what shows single photographs and the inside of the model.
 *
 * @param photographs how well each photograph's response is predicted; null if that is not known
 * @param readout content of {@link ReadoutFile}; null if the readout has nothing to show, or of several models
 */
public record Evaluated(Evaluation evaluation, @Nullable PhotographScores photographs, byte @Nullable [] readout) {
    /** Of predictions that are known at the evaluation only, such as those of a ridge regression. */
    public static Evaluated alone(Evaluation evaluation) {
        return new Evaluated(evaluation, null, null);
    }

    /** Writes the files of the evaluation, photographs.csv and readout.safetensors together: all of them or none. */
    public void write(Path folder) {
        Map<String, byte @Nullable []> files = evaluation.files();
        if (photographs != null) files.put(Evaluation.PHOTOGRAPHS, photographs.csv());
        files.put(Evaluation.READOUT, readout);
        AtomicFiles.write(folder, files);
    }
}
