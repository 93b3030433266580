// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;

/**
 * The challenge's submission: subj0X/{lh,rh}_pred_test.npy, f32 [test images, vertices], in one zip file of less than
 * 300 MB.
 */
public final class Submission {
    /** Size limit of the zip file, in bytes. */
    public static final long MAX_BYTES = 300_000_000L;

    private static final List<String> FILES = List.of("lh_pred_test.npy", "rh_pred_test.npy");

    private Submission() {}

    /**
     * Checks the predictions and writes the zip file.
     *
     * @param folders for each subject the folder with lh_pred_test.npy and rh_pred_test.npy; with several folders,
     *     their predictions are averaged
     * @return subjects of the challenge that the submission lacks
     * @throws InputException if a prediction has the wrong type or shape or is not finite, or if the zip is too large
     */
    public static List<Integer> write(Path zip, Map<Integer, List<Path>> folders) {
        if (folders.isEmpty())
            throw new InputException(zip.toString(), "would contain no predictions", "Give a folder for each subject");
        for (Map.Entry<Integer, List<Path>> e : folders.entrySet()) {
            int s = e.getKey();
            if (s < 1 || s > 8)
                throw new InputException("subject " + s, "does not exist", "The challenge has subjects 1 to 8");
            for (Path file : e.getValue().stream()
                    .flatMap(f -> FILES.stream().map(f::resolve))
                    .toList()) {
                int h = file.endsWith(FILES.get(0)) ? 0 : 1;
                try (NpyFile f = NpyFile.open(file).require(NpyType.F32, 2)) {
                    int rows = Challenge.testImages(s), columns = Challenge.vertices(s)[h];
                    if (f.rows() != rows || f.rowElements() != columns)
                        throw new InputException(
                                file.toString(),
                                "has the shape [" + f.rows() + ", " + f.rowElements() + "], subject " + s + " needs ["
                                        + rows + ", " + columns + "]",
                                "Predict the whole test split of the challenge");
                    f.checkFinite("predictions");
                }
            }
        }
        AtomicFiles.write(zip, out -> {
            Counting counted = new Counting(out);
            ZipOutputStream z = new ZipOutputStream(counted);
            z.setLevel(Deflater.BEST_COMPRESSION);
            for (Map.Entry<Integer, List<Path>> e : new TreeMap<>(folders).entrySet())
                for (String name : FILES) {
                    ZipEntry entry = new ZipEntry(AlgonautsSubject.folderName(e.getKey()) + "/" + name);
                    entry.setTime(0); // Equal predictions give equal files.
                    z.putNextEntry(entry);
                    copyMean(e.getValue().stream().map(f -> f.resolve(name)).toList(), z);
                    z.closeEntry();
                }
            z.finish();
            if (counted.bytes >= MAX_BYTES)
                throw new InputException(
                        zip.toString(),
                        "would have " + counted.bytes / 1_000_000 + " MB, the challenge accepts less than 300",
                        "Round the predictions to fewer digits, so that they compress better");
        });
        return java.util.stream.IntStream.rangeClosed(1, 8)
                .filter(s -> !folders.containsKey(s))
                .boxed()
                .toList();
    }

    /** Copies a single file unchanged, or writes the mean of several files, whose shapes have been checked. */
    private static void copyMean(List<Path> files, OutputStream to) throws IOException {
        if (files.size() == 1) {
            Files.copy(files.get(0), to);
            return;
        }
        List<NpyFile> open = new ArrayList<>();
        try {
            for (Path p : files) open.add(NpyFile.open(p));
            long rows = open.get(0).rows();
            int columns = open.get(0).rowElements();
            to.write(NpyWriter.header(NpyType.F32, rows, columns));
            float[] one = new float[columns];
            for (long row = 0; row < rows; row++) {
                double[] sum = new double[columns];
                for (NpyFile f : open) {
                    f.readRow(row, one, 0);
                    for (int i = 0; i < columns; i++) sum[i] += one[i];
                }
                ByteBuffer bytes = ByteBuffer.allocate(4 * columns).order(ByteOrder.LITTLE_ENDIAN);
                for (double x : sum) bytes.putFloat((float) (x / files.size()));
                to.write(bytes.array());
            }
        } finally {
            open.forEach(NpyFile::close);
        }
    }

    private static final class Counting extends OutputStream {
        private final OutputStream to;
        private long bytes;

        Counting(OutputStream to) {
            this.to = to;
        }

        @Override
        public void write(int b) throws IOException {
            to.write(b);
            bytes++;
        }

        @Override
        public void write(byte[] b, int off, int len) throws IOException {
            to.write(b, off, len);
            bytes += len;
        }
    }
}
