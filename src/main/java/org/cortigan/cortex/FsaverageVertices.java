// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.NpyFile;

/** Where a subject's vertices lie on fsaverage: the masks of the challenge mark them. */
public final class FsaverageVertices {
    /** Vertices of a hemisphere of fsaverage. */
    private static final int VERTICES = 163_842;

    /**
     * The mask of a hemisphere.
     *
     * @param length vertices of the mesh
     * @param marked vertices of the mesh that belong to the subject, ascending
     */
    record Mask(Path file, int length, int[] marked) {}

    private FsaverageVertices() {}

    /**
     * The fsaverage vertex of each vertex of a subject's files, missing ones included.
     *
     * @return [2][vertices of the hemisphere's files], each ascending
     * @throws InputException if a mask is missing or does not fit
     */
    public static int[][] of(AlgonautsSubject s) {
        int[][] where = new int[2][];
        for (int h = 0; h < 2; h++) {
            Mask mask = mask(s, h);
            if (mask.length != VERTICES)
                throw new InputException(
                        mask.file.toString(),
                        "has " + mask.length + " values, not one for each of fsaverage's " + VERTICES + " vertices",
                        "Give the challenge's mask");
            where[h] = mask.marked;
        }
        return where;
    }

    /**
     * Reads the mask of a hemisphere.
     *
     * @param hemisphere 0 for the left, 1 for the right
     * @throws InputException if it does not mark as many vertices as the responses have
     */
    static Mask mask(AlgonautsSubject s, int hemisphere) {
        Path file = s.folder()
                .resolve("roi_masks/" + (hemisphere == 0 ? "lh" : "rh") + ".all-vertices_fsaverage_space.npy");
        int[] all;
        try (NpyFile f = NpyFile.open(file)) {
            all = f.toIntArray();
        }
        int[] marked = IntStream.range(0, all.length).filter(v -> all[v] > 0).toArray();
        List<Integer> missing =
                hemisphere == 0 ? s.missing().left() : s.missing().right();
        int vertices = (hemisphere == 0 ? s.left() : s.right()) + missing.size();
        if (marked.length != vertices)
            throw new InputException(
                    file.toString(),
                    "marks " + marked.length + " vertices, but that hemisphere has " + vertices,
                    "Give the masks and the responses of one subject");
        return new Mask(file, all.length, marked);
    }
}
