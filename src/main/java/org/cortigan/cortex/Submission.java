// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
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

    /** The file in which {@code predict} says of which subject the predictions are, as JSON, and the key. */
    public static final String ABOUT = "predictions.json", SUBJECT = "subject";

    private static final List<String> FILES = List.of("lh_pred_test.npy", "rh_pred_test.npy");

    private Submission() {}

    /**
     * Checks the predictions and writes the zip file, without warnings.
     *
     * @see #write(Path, Map, Consumer)
     */
    public static List<Integer> write(Path zip, Map<Integer, List<Path>> folders) {
        return write(zip, folders, line -> {});
    }

    /**
     * Checks the predictions and writes the zip file.
     *
     * @param folders for each subject the folder with lh_pred_test.npy and rh_pred_test.npy; with several folders,
     *     their predictions are averaged
     * @param log receives warnings: of vertices with a constant prediction, and of files with equal content
     * @return subjects of the challenge that the submission lacks
     * @throws InputException if a prediction has the wrong type or shape, is not finite or is of another subject, or if
     *     the zip is too large
     */
    public static List<Integer> write(Path zip, Map<Integer, List<Path>> folders, Consumer<String> log) {
        if (folders.isEmpty())
            throw new InputException(zip.toString(), "would contain no predictions", "Give a folder for each subject");
        Map<String, Path> seen = new HashMap<>();
        requireOther(folders);
        new TreeMap<>(folders).forEach((subject, own) -> {
            if (subject < 1 || subject > 8)
                throw new InputException("subject " + subject, "does not exist", "The challenge has subjects 1 to 8");
            for (Path folder : own) requireSubject(folder, AlgonautsSubject.folderName(subject));
            for (int h = 0; h < FILES.size(); h++) {
                List<Path> files = files(own, h);
                for (Path file : files) {
                    check(file, subject, h);
                    Path same = seen.putIfAbsent(sha256(file), file);
                    if (same != null) log.accept("warning: " + file + " and " + same + " have the same content");
                }
                int constant = constantVertices(files);
                if (constant > 0)
                    log.accept("warning: subject " + subject + ": the predictions of " + constant + " of "
                            + Challenge.vertices(subject)[h] + " vertices of the " + (h == 0 ? "left" : "right")
                            + " hemisphere are constant over the images; the challenge's script computes NaN for them"
                            + " and for the mean of all vertices");
            }
        });
        AtomicFiles.write(zip, out -> {
            Counting counted = new Counting(out);
            ZipOutputStream z = new ZipOutputStream(counted);
            z.setLevel(Deflater.BEST_COMPRESSION);
            for (Map.Entry<Integer, List<Path>> e : new TreeMap<>(folders).entrySet())
                for (int h = 0; h < FILES.size(); h++) {
                    ZipEntry entry = new ZipEntry(AlgonautsSubject.folderName(e.getKey()) + "/" + FILES.get(h));
                    entry.setTime(0); // Equal predictions give equal files.
                    z.putNextEntry(entry);
                    copyMean(files(e.getValue(), h), z);
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

    /** Checks that no folder is given for two subjects. */
    private static void requireOther(Map<Integer, List<Path>> folders) {
        Map<Path, Integer> subjects = new HashMap<>();
        new TreeMap<>(folders)
                .forEach((subject, own) -> own.forEach(folder -> {
                    Integer other = subjects.putIfAbsent(InputFiles.real(folder), subject);
                    if (other != null && !other.equals(subject))
                        throw new InputException(
                                folder.toString(),
                                "is given for subject " + other + " and for subject " + subject,
                                "Give each subject the folder of its own predictions");
                }));
    }

    private static List<Path> files(List<Path> folders, int hemisphere) {
        return folders.stream().map(f -> f.resolve(FILES.get(hemisphere))).toList();
    }

    /** Checks what {@code predict} wrote about a folder, if it is there. */
    private static void requireSubject(Path folder, String subject) {
        Path about = folder.resolve(ABOUT);
        if (!Files.exists(about)) return;
        Object own = Json.readObject(about).get(SUBJECT);
        if (own instanceof String name && !name.isEmpty() && !name.equals(subject))
            throw new InputException(
                    about.toString(),
                    "the predictions are of " + InputFiles.quote(name) + ", not of '" + subject + "'",
                    "Give the folder of " + subject + "'s predictions");
    }

    private static void check(Path file, int subject, int hemisphere) {
        try (NpyFile f = NpyFile.open(file).requireRank(2)) {
            int rows = Challenge.testImages(subject), columns = Challenge.vertices(subject)[hemisphere];
            if (f.rows() != rows || f.rowElements() != columns)
                throw new InputException(
                        file.toString(),
                        "has the shape [" + f.rows() + ", " + f.rowElements() + "], subject " + subject + " needs ["
                                + rows + ", " + columns + "]",
                        "Predict the whole test split of the challenge");
            f.checkFloatKeeps("vertex");
            f.checkFinite(
                    "predictions",
                    "Predict again, with --missing zero if vertices had no responses: the challenge takes no other"
                            + " values than finite ones");
        }
    }

    private static String sha256(Path file) {
        try (InputStream in = Files.newInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] part = new byte[1 << 16];
            for (int n; (n = in.read(part)) >= 0; ) digest.update(part, 0, n);
            return HexFormat.of().formatHex(digest.digest());
        } catch (IOException e) {
            throw InputFiles.unreadable(file, e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // Every JDK has SHA-256.
        }
    }

    /** Number of vertices whose prediction is the same for all images. */
    private static int constantVertices(List<Path> files) {
        try (Mean mean = new Mean(files)) {
            float[] first = mean.row(0);
            boolean[] varies = new boolean[first.length];
            for (long i = 1; i < mean.rows; i++) {
                float[] row = mean.row(i);
                for (int v = 0; v < row.length; v++) varies[v] |= row[v] != first[v];
            }
            int constant = 0;
            for (boolean v : varies) if (!v) constant++;
            return constant;
        }
    }

    /** Writes the mean of files as float32, little-endian in C order, whatever the form of the files. */
    private static void copyMean(List<Path> files, OutputStream to) throws IOException {
        try (Mean mean = new Mean(files)) {
            to.write(NpyWriter.header(NpyType.F32, mean.rows, mean.columns));
            for (long row = 0; row < mean.rows; row++) {
                ByteBuffer bytes = ByteBuffer.allocate(4 * mean.columns).order(ByteOrder.LITTLE_ENDIAN);
                for (float x : mean.row(row)) bytes.putFloat(x);
                to.write(bytes.array());
            }
        }
    }

    /** The mean of several files, whose shapes have been checked. */
    private static final class Mean implements AutoCloseable {
        private final List<NpyFile> open = new ArrayList<>();
        private final long rows;
        private final int columns;

        Mean(List<Path> files) {
            try {
                for (Path p : files) open.add(NpyFile.open(p));
            } catch (RuntimeException | Error e) {
                close();
                throw e;
            }
            rows = open.get(0).rows();
            columns = open.get(0).rowElements();
        }

        float[] row(long row) {
            float[] one = new float[columns];
            double[] sum = new double[columns];
            for (NpyFile f : open) {
                f.readRow(row, one, 0);
                for (int i = 0; i < columns; i++) sum[i] += one[i];
            }
            for (int i = 0; i < columns; i++) one[i] = (float) (sum[i] / open.size());
            return one;
        }

        @Override
        public void close() {
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
