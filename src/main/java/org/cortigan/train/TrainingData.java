// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;

/** Photographs with their responses, by index. Implementations may be read by one other thread while a run goes on. */
public interface TrainingData {
    /** Number of photographs. */
    int count();

    int leftVertices();

    int rightVertices();

    /** Puts photograph i, u8 [S, S, 3], at the buffer's position, which advances; S is the side that was agreed on. */
    void image(int i, ByteBuffer into);

    /** Puts the responses of photograph i, f32 little-endian, left vertices then right, likewise. */
    void responses(int i, ByteBuffer into);

    /**
     * Vertices by region, for the discriminators; data without ROIs have {@code all} and {@code hemisphere}.
     *
     * @see Regions#of
     */
    default List<Region> regions(String grouping, Regions.Order order, Path meshes, int least, Consumer<String> log) {
        return Regions.of(grouping, order, leftVertices(), rightVertices());
    }
}
