// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.train.Ensemble;
import org.cortigan.train.RunFolder;

/** Writes predicted responses to files. */
public final class PredictionFiles {
    private PredictionFiles() {}

    /**
     * Predicts the responses to photographs and writes lh_pred_test.npy and rh_pred_test.npy (f32 [images, vertices])
     * and images.txt (one file name per line).
     *
     * @param photographs PNG or JPEG files, at least one
     * @param folder created if it does not exist
     * @param missing value at vertices that the files of the training responses have and the models do not
     */
    public static void write(Ensemble models, List<Path> photographs, Path folder, float missing) {
        RunFolder.create(folder);
        int count = photographs.size(), columns = models.columns();
        int left = models.subject().left(), right = columns - left;
        List<Integer> notLeft = models.subject().missing().left();
        List<Integer> notRight = models.subject().missing().right();
        try (NpyWriter lh = create(folder, "lh", count, left + notLeft.size());
                NpyWriter rh = create(folder, "rh", count, right + notRight.size())) {
            float[] predicted = new float[Math.multiplyExact(models.batch(), columns)];
            StringBuilder names = new StringBuilder();
            for (int start = 0; start < count; start += models.batch()) {
                List<Path> batch = photographs.subList(start, Math.min(start + models.batch(), count));
                models.predict((k, side, into) -> into.put(Images.decode(batch.get(k), side)), batch.size(), predicted);
                for (int k = 0; k < batch.size(); k++) {
                    names.append(batch.get(k).getFileName()).append('\n');
                    write(lh, MissingVertices.insert(notLeft, missing, predicted, k * columns, left));
                    write(rh, MissingVertices.insert(notRight, missing, predicted, k * columns + left, right));
                }
            }
            lh.commit();
            rh.commit();
            AtomicFiles.writeString(folder.resolve("images.txt"), names.toString());
        }
    }

    private static NpyWriter create(Path folder, String hemisphere, int count, int vertices) {
        return NpyWriter.create(folder.resolve(hemisphere + "_pred_test.npy"), NpyType.F32, count, vertices);
    }

    private static void write(NpyWriter to, float[] row) {
        to.writeRow(row, 0, row.length);
    }
}
