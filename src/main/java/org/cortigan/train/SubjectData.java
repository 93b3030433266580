// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.jspecify.annotations.Nullable;

/** The training split of a challenge subject. Its photographs are decoded once into a cache. */
public final class SubjectData extends CachedSubject {
    /**
     * Opens the training split.
     *
     * @param size side of the photographs, in pixels
     * @param cache folder of the cache
     * @param log receives messages for the user
     */
    public SubjectData(AlgonautsSubject subject, int size, Path cache, Consumer<String> log) {
        super(subject, subject.trainingImages(), size, cache, log);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        subject.responses(i, into);
    }

    @Override
    public int[] roiOfVertex() {
        return Regions.roiOfVertex(subject, true);
    }

    @Override
    public List<Region> regions(
            String grouping, Regions.Order order, @Nullable Path meshes, int minVertices, Consumer<String> log) {
        return Regions.of(grouping, order, meshes, minVertices, subject, log);
    }
}
