// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.jspecify.annotations.Nullable;

/**
 * A subset of a data set.
 *
 * @param images indices in {@code all}; photograph i of the subset is {@code images[i]}
 */
public record Subset(TrainingData all, int[] images) implements TrainingData {
    @Override
    public String subjectName() {
        return all.subjectName();
    }

    @Override
    public int count() {
        return images.length;
    }

    @Override
    public List<Region> regions(
            String grouping, Regions.Order order, @Nullable Path meshes, int minVertices, Consumer<String> log) {
        return all.regions(grouping, order, meshes, minVertices, log);
    }

    @Override
    public int[] roiOfVertex() {
        return all.roiOfVertex();
    }

    @Override
    public int leftVertices() {
        return all.leftVertices();
    }

    @Override
    public int rightVertices() {
        return all.rightVertices();
    }

    @Override
    public MissingVertices missing() {
        return all.missing();
    }

    @Override
    public Optional<Store> store() {
        return all.store().map(s -> new Store(s.folder(), s.identity() + Arrays.toString(images)));
    }

    @Override
    public void image(int i, ByteBuffer into) {
        all.image(images[i], into);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        all.responses(images[i], into);
    }
}
