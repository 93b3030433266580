// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.train.Ensemble;
import org.jspecify.annotations.Nullable;

/** Writes predicted responses to files. */
public final class PredictionFiles {
    /** Most bytes that the samples of a batch have where its size is ours to choose. */
    private static final long MOST_SAMPLED = 1 << 30;

    private PredictionFiles() {}

    /**
     * The photographs of a batch whose samples are written: these take 1 GiB and a quarter of Java's memory at most,
     * but for one photograph.
     *
     * @param most photographs, at least 1
     * @param numbers of the samples of one photograph
     */
    public static int batch(int most, long numbers) {
        return batch(most, numbers, Runtime.getRuntime().maxMemory());
    }

    /** @param memory bytes that Java may take */
    static int batch(int most, long numbers, long memory) {
        return (int) Math.max(1, Math.min(most, Math.min(MOST_SAMPLED, memory / 4) / Float.BYTES / numbers));
    }

    /**
     * Predicts the responses to photographs and writes lh_pred_test.npy and rh_pred_test.npy (f32 [images, vertices]),
     * images.txt (one file name per line), and predictions.json (the subject and the models). Of a model with region
     * queries it also writes, if asked, attention.npy (f32 [images, queries, layers, height, width]) and regions.txt
     * (one query's name per line).
     *
     * @param samples file for the samples of the only model, npy f32 [images, samples, vertices], left vertices first;
     *     null for none
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
            @Nullable Path samples,
            List<Path> photographs,
            boolean upright,
            List<Path> checkpoints,
            String subject,
            float missing,
            Path folder,
            Consumer<String> log) {
        AtomicFiles.inFolder(folder, () -> {
            int count = photographs.size(), columns = models.columns();
            ModelConfig.Subject s = models.subject();
            try (NpyWriter lh = create(
                            folder, "lh", count, s.left() + s.missing().left().size());
                    NpyWriter rh = create(
                            folder, "rh", count, s.right() + s.missing().right().size());
                    AttentionFile maps = attention == null ? null : new AttentionFile(folder, attention, count);
                    SamplesFile drawn = samples == null ? null : new SamplesFile(samples, models, missing, count)) {
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
                            predicted,
                            drawn);
                    if (drawn != null) drawn.write(batch.size());
                    if (maps != null) maps.write(batch.size());
                    for (int k = 0; k < batch.size(); k++) {
                        names.append(InputException.oneLine(
                                        batch.get(k).getFileName().toString()))
                                .append('\n');
                        write(lh, left(models, missing, predicted, k * columns));
                        write(rh, right(models, missing, predicted, k * columns));
                    }
                }
                String about = Json.pretty(about(checkpoints, subject, models.prediction()));
                Map<String, byte[]> texts = new LinkedHashMap<>();
                texts.put("images.txt", names.toString().getBytes(StandardCharsets.UTF_8));
                texts.put(Submission.ABOUT, about.getBytes(StandardCharsets.UTF_8));
                List<AtomicFiles.Unnamed> arrays = new ArrayList<>(List.of(lh, rh));
                if (maps != null) {
                    texts.put("regions.txt", maps.names().getBytes(StandardCharsets.UTF_8));
                    arrays.add(maps.file);
                }
                if (drawn != null) arrays.add(drawn.file);
                AtomicFiles.write(folder, texts, arrays.toArray(new AtomicFiles.Unnamed[0]));
                Images.noteOrientation(turned, upright, log);
            }
        });
    }

    /** A response of the left hemisphere, as the subject's files have it. */
    private static float[] left(Ensemble models, float missing, float[] responses, int at) {
        ModelConfig.Subject s = models.subject();
        return MissingVertices.insert(s.missing().left(), missing, responses, at, s.left());
    }

    /** A response of the right hemisphere, as the subject's files have it. */
    private static float[] right(Ensemble models, float missing, float[] responses, int at) {
        ModelConfig.Subject s = models.subject();
        return MissingVertices.insert(s.missing().right(), missing, responses, at + s.left(), s.right());
    }

    /** The file of the samples of every photograph. */
    private static final class SamplesFile implements Ensemble.Samples, AutoCloseable {
        private final Ensemble models;
        private final float missing;
        /** Samples of the batch, [samples][photographs, vertices]. */
        private final float[][] drawn;

        private final NpyWriter file;

        SamplesFile(Path path, Ensemble models, float missing, int count) {
            this.models = models;
            this.missing = missing;
            int samples = models.sampling().orElseThrow().samples();
            int vertices = models.columns() + models.subject().missing().count();
            long numbers = (long) samples * models.batch() * vertices;
            if (numbers > Integer.MAX_VALUE)
                throw new InputException(
                        "--samples-out " + path,
                        "the samples of a batch are " + numbers + " numbers, more than " + Integer.MAX_VALUE,
                        models.batch() == 1 ? "Lower --samples" : "Lower --batch or --samples");
            file = NpyWriter.create(path, NpyType.F32, count, samples, vertices);
            drawn = new float[samples][];
        }

        @Override
        public void accept(int k, float[] responses) {
            drawn[k] = responses.clone();
        }

        void write(int photographs) {
            for (int p = 0; p < photographs; p++) {
                float[][] parts = new float[2 * drawn.length][];
                for (int k = 0; k < drawn.length; k++) {
                    parts[2 * k] = left(models, missing, drawn[k], p * models.columns());
                    parts[2 * k + 1] = right(models, missing, drawn[k], p * models.columns());
                }
                PredictionFiles.write(file, joined(parts));
            }
        }

        private static float[] joined(float[]... parts) {
            float[] all = new float[Arrays.stream(parts).mapToInt(x -> x.length).sum()];
            int at = 0;
            for (float[] part : parts) {
                System.arraycopy(part, 0, all, at, part.length);
                at += part.length;
            }
            return all;
        }

        @Override
        public void close() {
            file.close();
        }
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

    private static Map<String, Object> about(List<Path> checkpoints, String subject, String prediction) {
        Set<String> subjects = new TreeSet<>();
        for (Path c : checkpoints) subjects.add(Checkpoints.subject(c, subject));
        subjects.remove("");
        Map<String, Object> about = new LinkedHashMap<>();
        about.put(Submission.SUBJECT, String.join(", ", subjects));
        about.put("models", checkpoints.stream().map(Path::toString).toList());
        if (!prediction.isEmpty()) about.put("prediction", prediction);
        return about;
    }

    private static NpyWriter create(Path folder, String hemisphere, int count, int vertices) {
        return NpyWriter.create(folder.resolve(hemisphere + "_pred_test.npy"), NpyType.F32, count, vertices);
    }

    private static void write(NpyWriter to, float[] row) {
        to.writeRow(row, 0, row.length);
    }
}
