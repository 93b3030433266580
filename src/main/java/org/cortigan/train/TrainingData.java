// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.jspecify.annotations.Nullable;

/** Photographs with their responses, by index. During a run, the batch loader reads the data on another thread. */
public interface TrainingData {
    /**
     * Name of the subject, for example {@code subj01}, or "" if it has none. Checkpoints store it, so that no model of
     * one subject predicts another by mistake.
     */
    default String subjectName() {
        return "";
    }

    /** Number of photographs. */
    int count();

    /** Vertices of the left hemisphere. */
    int leftVertices();

    /** Vertices of the right hemisphere. */
    int rightVertices();

    /** Vertices that the files of the responses have and these data have not. */
    default MissingVertices missing() {
        return MissingVertices.NONE;
    }

    /**
     * Where values that are computed from the photographs may be kept.
     *
     * @param folder on a disk
     * @param identity tells these photographs, at their size, from all others
     */
    record Store(Path folder, String identity) {}

    /** The place for values computed from the photographs; empty if they are kept in memory only. */
    default Optional<Store> store() {
        return Optional.empty();
    }

    /** Writes photograph i, u8 [S, S, 3], at the buffer's position, which advances. S is the model's image side. */
    void image(int i, ByteBuffer into);

    /** Writes the responses to photograph i, f32 little-endian, left vertices then right, at the buffer's position. */
    void responses(int i, ByteBuffer into);

    /**
     * For each vertex the number, from 0 on, of the part of the cortex that it is in. Vertices of a part respond to
     * similar things. Data without ROIs have one part.
     */
    default int[] roiOfVertex() {
        return new int[leftVertices() + rightVertices()];
    }

    /**
     * The regions of the discriminators. Data without ROIs support {@code all} and {@code hemisphere} only.
     *
     * @see Regions#of
     */
    default List<Region> regions(
            String grouping, Regions.Order order, @Nullable Path meshes, int minVertices, Consumer<String> log) {
        return Regions.of(grouping, order, leftVertices(), rightVertices());
    }
}
