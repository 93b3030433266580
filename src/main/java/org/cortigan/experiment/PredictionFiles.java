// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.Photograph;
import org.cortigan.cortex.Submission;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Json;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.model.AttentionScores;
import org.cortigan.model.Predictor;
import org.cortigan.train.Ensemble;
import org.jspecify.annotations.Nullable;

/** Writes predicted responses to files. */
public final class PredictionFiles {
    private PredictionFiles() {}

    /**
     * Predicts the responses to photographs and writes lh_pred_test.npy and rh_pred_test.npy (f32 [images, vertices]),
     * images.txt (one file name per line), and predictions.json (the subject and the models). Of a model with region
     * queries it also writes, if asked, attention.npy (f32 [images, queries, layers, height, width]) and regions.txt
     * (one query's name per line).
     *
     * @param photographs PNG or JPEG files, at least one
     * @param upright whether photographs are turned as EXIF or XMP says; false for the challenge's, which training
     *     reads as they are stored
     * @param checkpoints of the models
     * @param subject that a model of several subjects predicts
     * @param attention of the same model, for batches of the same size; null for no attention maps
     * @param missing value at vertices that the files of the training responses have and the models do not
     * @param folder created if it does not exist
     * @param log receives a line that names the photographs with an orientation other than upright
     */
    public static void write(
            Ensemble models,
            @Nullable Predictor attention,
            List<Path> photographs,
            boolean upright,
            List<Path> checkpoints,
            String subject,
            float missing,
            Path folder,
            Consumer<String> log) {
        AtomicFiles.inFolder(folder, () -> {
            int count = photographs.size(), columns = models.columns();
            int left = models.subject().left(), right = columns - left;
            List<Integer> notLeft = models.subject().missing().left();
            List<Integer> notRight = models.subject().missing().right();
            try (NpyWriter lh = create(folder, "lh", count, left + notLeft.size());
                    NpyWriter rh = create(folder, "rh", count, right + notRight.size());
                    AttentionFile maps = attention == null ? null : new AttentionFile(folder, attention, count)) {
                float[] predicted = new float[Math.multiplyExact(models.batch(), columns)];
                StringBuilder names = new StringBuilder();
                Set<Path> turned = new LinkedHashSet<>();
                for (int start = 0; start < count; start += models.batch()) {
                    List<Path> batch = photographs.subList(start, Math.min(start + models.batch(), count));
                    models.predict(
                            (k, side, into) -> {
                                Photograph p = Images.read(batch.get(k));
                                if (p.orientation() != 1) turned.add(batch.get(k));
                                byte[] rgb = (upright ? p.upright() : p.stored()).square(side);
                                into.put(rgb);
                                if (maps != null) maps.put(k, rgb);
                            },
                            batch.size(),
                            predicted);
                    if (maps != null) maps.write(batch.size());
                    for (int k = 0; k < batch.size(); k++) {
                        names.append(InputException.oneLine(
                                        batch.get(k).getFileName().toString()))
                                .append('\n');
                        write(lh, MissingVertices.insert(notLeft, missing, predicted, k * columns, left));
                        write(rh, MissingVertices.insert(notRight, missing, predicted, k * columns + left, right));
                    }
                }
                String about = Json.pretty(about(checkpoints, subject));
                Map<String, byte[]> texts = new LinkedHashMap<>();
                texts.put("images.txt", names.toString().getBytes(StandardCharsets.UTF_8));
                texts.put(Submission.ABOUT, about.getBytes(StandardCharsets.UTF_8));
                if (maps == null) {
                    AtomicFiles.write(folder, texts, lh, rh);
                } else {
                    texts.put("regions.txt", maps.names().getBytes(StandardCharsets.UTF_8));
                    AtomicFiles.write(folder, texts, lh, rh, maps.file);
                }
                Images.noteOrientation(turned, upright, log);
            }
        });
    }

    /** The file of attention maps. */
    private static final class AttentionFile implements AutoCloseable {
        private final Predictor predictor;
        private final AttentionScores form;
        private final NpyWriter file;
        private final float[] scores, maps;
        /** The predictor's buffer for the next batch; null before the first one. */
        private @Nullable ByteBuffer pixels;

        AttentionFile(Path folder, Predictor predictor, int count) {
            this.predictor = predictor;
            form = predictor.attention();
            scores = new float[Math.multiplyExact(predictor.batch(), predictor.columns())];
            maps = new float[form.elements()];
            file = NpyWriter.create(
                    folder.resolve("attention.npy"),
                    NpyType.F32,
                    count,
                    form.queries(),
                    form.layers(),
                    form.height(),
                    form.width());
        }

        /** Takes photograph k of the next batch, which come in order. */
        void put(int k, byte[] rgb) {
            if (k == 0) pixels = predictor.imageBytesOfBatch();
            Objects.requireNonNull(pixels, "no first photograph").put(rgb);
        }

        void write(int photographs) {
            predictor.run();
            predictor.read(scores, 0, photographs);
            for (int k = 0; k < photographs; k++) {
                form.maps(scores, k * predictor.columns(), maps);
                file.writeRow(maps, 0, maps.length);
            }
        }

        String names() {
            return String.join("\n", predictor.queries()) + "\n";
        }

        @Override
        public void close() {
            file.close();
        }
    }

    private static Map<String, Object> about(List<Path> checkpoints, String subject) {
        Set<String> subjects = new TreeSet<>();
        for (Path c : checkpoints) subjects.add(Checkpoints.subject(c, subject));
        subjects.remove("");
        Map<String, Object> about = new LinkedHashMap<>();
        about.put(Submission.SUBJECT, String.join(", ", subjects));
        about.put("models", checkpoints.stream().map(Path::toString).toList());
        return about;
    }

    private static NpyWriter create(Path folder, String hemisphere, int count, int vertices) {
        return NpyWriter.create(folder.resolve(hemisphere + "_pred_test.npy"), NpyType.F32, count, vertices);
    }

    private static void write(NpyWriter to, float[] row) {
        to.writeRow(row, 0, row.length);
    }
}
