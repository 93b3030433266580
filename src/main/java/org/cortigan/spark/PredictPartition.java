// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.util.TaskCompletionListener;
import org.cortigan.InputException;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Photograph;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/**
 * Predicts the rows of a partition batch by batch. Rows keep their order and get the responses behind their values, and
 * with {@link Invalid#KEEP} a message behind these.
 *
 * @param pieces of the checkpoint, as {@link ModelFile#load} takes them
 * @param input index of the column of photographs
 * @param named index of a column of texts that names the photographs in messages; -1 for none
 */
record PredictPartition(
        ExecutorPredictor.Settings settings, List<Broadcast<byte[]>> pieces, int input, int named, Invalid invalid)
        implements MapPartitionsFunction<Row, Row> {
    /** What becomes of a row whose photograph cannot be read. */
    enum Invalid {
        /** The job fails and names the photograph. */
        ERROR,
        /** The row is left out. */
        SKIP,
        /** The row has no responses (null), and the message. */
        KEEP
    }

    @Override
    public Iterator<Row> call(Iterator<Row> rows) {
        if (!rows.hasNext()) return Collections.emptyIterator();
        ExecutorPredictor predictor = ExecutorPredictor.acquire(settings, pieces);
        TaskContext.get().addTaskCompletionListener((TaskCompletionListener) task -> predictor.release());
        return new Predicted(rows, predictor);
    }

    /** @param message why the photograph cannot be read; null if it can */
    private record Read(Row row, @Nullable String message) {}

    private final class Predicted implements Iterator<Row> {
        private final Iterator<Row> rows;
        private final ExecutorPredictor predictor;
        private final Deque<Row> ready = new ArrayDeque<>();
        private long row;

        Predicted(Iterator<Row> rows, ExecutorPredictor predictor) {
            this.rows = rows;
            this.predictor = predictor;
        }

        @Override
        public boolean hasNext() {
            while (ready.isEmpty() && rows.hasNext()) predictBatch();
            return !ready.isEmpty();
        }

        @Override
        public Row next() {
            if (!hasNext()) throw new NoSuchElementException();
            return ready.remove();
        }

        private void predictBatch() {
            List<Read> batch = new ArrayList<>();
            byte[] pixels = new byte[predictor.batch() * predictor.imageBytes()];
            int n = 0;
            while (rows.hasNext() && batch.size() < predictor.batch()) {
                Row next = rows.next();
                row++;
                try {
                    byte[] rgb = photograph(next, row).upright().square(predictor.side());
                    System.arraycopy(rgb, 0, pixels, n++ * rgb.length, rgb.length);
                    batch.add(new Read(next, null));
                } catch (InputException e) {
                    if (invalid == Invalid.ERROR) throw e;
                    if (invalid == Invalid.KEEP) batch.add(new Read(next, e.getMessage()));
                }
            }
            int columns = predictor.columns();
            float[] responses =
                    n == 0 ? new float[0] : predictor.predict(Arrays.copyOf(pixels, n * predictor.imageBytes()));
            int k = 0;
            for (Read r : batch)
                ready.add(
                        with(r, r.message == null ? Arrays.copyOfRange(responses, k * columns, ++k * columns) : null));
        }
    }

    private Row with(Read read, float @Nullable [] responses) {
        int columns = read.row.length();
        @Nullable Object[] values = new Object[columns + (invalid == Invalid.KEEP ? 2 : 1)];
        for (int i = 0; i < columns; i++) values[i] = read.row.get(i);
        values[columns] = responses;
        if (invalid == Invalid.KEEP) values[columns + 1] = read.message;
        return RowFactory.create(values);
    }

    private Photograph photograph(Row row, long number) {
        Object value = row.get(input);
        if (value instanceof String path) return Images.read(file(path));
        if (value instanceof byte[] bytes) return Images.decode(Path.of(name(row, number)), bytes);
        throw new InputException(name(row, number), "has no photograph: the value is null", "Leave the row out");
    }

    private String name(Row row, long number) {
        if (named >= 0 && row.get(named) instanceof String text && text.indexOf(0) < 0) return text;
        return "row " + number + " of partition " + TaskContext.getPartitionId();
    }

    /** Executors have working folders of their own, so that a relative path has no meaning. */
    private static Path file(String text) {
        if (ModelFile.hasScheme(text) && !ModelFile.isLocal(text))
            throw new InputException(
                    text,
                    "is on a file system that is not read by path",
                    "Read it by spark.read().format(\"binaryFile\") and give the column content");
        Path file = ModelFile.hasScheme(text)
                ? Path.of(new org.apache.hadoop.fs.Path(text).toUri().getPath())
                : InputFiles.path(text);
        if (!file.isAbsolute())
            throw new InputException(text, "is a relative path", "Give the absolute path, the same on all machines");
        return file;
    }
}
