// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.NpyFile;
import org.jspecify.annotations.Nullable;

/**
 * A hemisphere's responses to photographs, [photographs, vertices] of real numbers. A vertex whose response to every
 * photograph is NaN or infinite is missing: it was not measured. Any other response that is not finite is refused when
 * it is read. Memory-mapped; any number of threads may read.
 */
final class ResponseFile implements AutoCloseable {
    /** Rows that tell the missing vertices: a few, because a whole file is large. */
    private static final int PROBES = 16;

    private final NpyFile file;
    /** In the order of the rows; empty if they do not matter. */
    private final List<Path> photographs;

    private final List<Integer> missing;
    /** Numbers in the file of the vertices that are not missing. */
    private final int[] present;

    private ResponseFile(NpyFile file, List<Path> photographs) {
        this.file = file;
        this.photographs = photographs;
        if (file.rowElements() == 0)
            throw new InputException(
                    file.path().toString(),
                    "has no vertex: its shape is " + shape(),
                    "Give both hemispheres' responses");
        boolean[] finite = new boolean[file.rowElements()];
        int[] probes = probes(rows());
        for (int i : probes) {
            float[] row = row(i);
            for (int v = 0; v < row.length; v++) finite[v] |= Float.isFinite(row[v]);
        }
        // Every read checks that these are right.
        missing = IntStream.range(0, finite.length)
                .filter(v -> !finite[v])
                .boxed()
                .toList();
        present = MissingVertices.present(missing, finite.length);
        if (present.length == 0)
            throw new InputException(
                    file.path().toString(),
                    "has no vertex with a finite response to any of the images " + Arrays.toString(probes),
                    "Leave out images without responses, and give at least one vertex that was measured (images count"
                            + " from 0)");
    }

    /** Evenly spaced rows of n, with the first and the last one. */
    private static int[] probes(int n) {
        return IntStream.range(0, PROBES)
                .map(k -> (int) ((long) k * (n - 1) / (PROBES - 1)))
                .distinct()
                .toArray();
    }

    /** Number of photographs, of which there may be no files. */
    private int rows() {
        return Math.toIntExact(file.rows());
    }

    private float[] row(int i) {
        float[] row = new float[file.rowElements()];
        file.readRow(i, row, 0);
        return row;
    }

    /**
     * Opens a file.
     *
     * @param photographs in the order of the rows; null if they do not matter
     * @param split their split, for messages
     * @param log receives what the user should know about the file
     * @throws InputException if the file has another number of rows or no real numbers
     */
    static ResponseFile open(Path path, @Nullable List<Path> photographs, String split, Consumer<String> log) {
        NpyFile file = NpyFile.open(path);
        try {
            file.requireRank(2);
            if (photographs != null && file.rows() != photographs.size())
                throw new InputException(
                        path.toString(),
                        "has responses to " + file.rows() + " images, but there are " + photographs.size() + " " + split
                                + " images",
                        "Give the images and the responses of one subject, both complete");
            file.checkFloatKeeps("vertex");
            ResponseFile responses = new ResponseFile(file, photographs == null ? List.of() : photographs);
            if (!file.conversion().isEmpty()) log.accept(path + ": " + file.conversion());
            return responses;
        } catch (RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Tells how many vertices of the file are missing, and which. */
    void tellMissing(Consumer<String> log) {
        if (missing.isEmpty()) return;
        log.accept(file.path() + ": " + missing.size() + " of " + inFile()
                + " vertices have no responses (NaN or infinite) and are left out: " + MissingVertices.some(missing));
    }

    /** Vertices that are not missing. */
    int vertices() {
        return present.length;
    }

    /** Vertices of the file, with the missing ones. */
    int inFile() {
        return file.rowElements();
    }

    /** Numbers in the file of the missing vertices. */
    List<Integer> missing() {
        return missing;
    }

    /** Numbers in the file of the vertices that are not missing. */
    int[] present() {
        return present.clone();
    }

    /**
     * Writes the responses of the vertices that are not missing to photograph i, f32 little-endian, at the buffer's
     * position, which advances.
     *
     * @throws InputException if one of them is not finite, or that of a missing vertex is
     */
    void read(int i, ByteBuffer into) {
        int at = into.position();
        if (missing.isEmpty()) file.readFloats(i, into);
        else file.readFloats(i, present, into);
        boolean swap = into.order() != ByteOrder.LITTLE_ENDIAN;
        for (int v = 0; v < present.length; v++) {
            int bits = into.getInt(at + 4 * v);
            if (!Float.isFinite(Float.intBitsToFloat(swap ? Integer.reverseBytes(bits) : bits)))
                throw notFinite(present[v]);
        }
        for (int v : missing) if (Float.isFinite(file.value(i, v))) throw notFinite(v);
    }

    /**
     * Reads the whole file.
     *
     * @throws InputException if a response is not finite but others of its vertex are
     */
    void check() {
        int[] finite = file.notFinitePerColumn();
        for (int v = 0; v < finite.length; v++) finite[v] = rows() - finite[v];
        for (int v : present) if (finite[v] != rows()) throw notFinite(v);
        for (int v : missing) if (finite[v] != 0) throw notFinite(v);
    }

    /** The exception for a vertex with finite responses and others. */
    private InputException notFinite(int vertex) {
        int[] bad = IntStream.range(0, rows())
                .filter(i -> !Float.isFinite(file.value(i, vertex)))
                .toArray();
        float[] row = row(bad[0]);
        boolean whole = IntStream.range(0, row.length).noneMatch(v -> Float.isFinite(row[v]));
        String name =
                photographs.isEmpty() ? "" : " (" + photographs.get(bad[0]).getFileName() + ")";
        String image = "image row " + bad[0] + name;
        if (whole)
            return new InputException(
                    file.path().toString(),
                    image + " has no finite response at any vertex",
                    "Leave out that photograph and its row in the files of both hemispheres (rows count from 0)");
        return new InputException(
                file.path().toString(),
                "vertex " + vertex + " is " + row[vertex] + " for " + bad.length + " of " + rows()
                        + " images, the first of them " + image,
                "Repair these responses, or set the vertex to NaN for all images: then it is left out (rows and"
                        + " vertices count from 0)");
    }

    /** The responses of a vertex, numbered as in the file, to photograph i. */
    float value(int i, int vertex) {
        return file.value(i, vertex);
    }

    /** The shape of the file. */
    String shape() {
        return Arrays.toString(file.shape());
    }

    @Override
    public void close() {
        file.close();
    }
}
