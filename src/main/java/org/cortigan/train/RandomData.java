// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.cortex.Region;
import org.cortigan.cortex.Regions;
import org.jspecify.annotations.Nullable;

/**
 * Random data for timing steps, the same in every process: photographs of uniform noise, u8 [S, S, 3], and responses of
 * standard normal noise, f32 [vertices].
 *
 * @param count number of photographs
 * @param imageBytes bytes per photograph, 3 S S
 */
public record RandomData(int count, int leftVertices, int rightVertices, int imageBytes) implements TrainingData {
    /** For ROI groupings: 25 equal regions, the number of the challenge's functional ROIs with the remainder. */
    @Override
    public List<Region> regions(
            String grouping, Regions.Order order, @Nullable Path meshes, int minVertices, Consumer<String> log) {
        if (grouping.equals(Regions.ALL) || grouping.equals(Regions.HEMISPHERE))
            return Regions.of(grouping, Regions.Order.STORED, leftVertices, rightVertices);
        int v = leftVertices + rightVertices, n = 25;
        return IntStream.range(0, n)
                .mapToObj(k -> new Region(
                        "region" + (k + 1),
                        IntStream.range(k * v / n, (k + 1) * v / n).toArray()))
                .toList();
    }

    @Override
    public void image(int i, ByteBuffer into) {
        byte[] b = new byte[imageBytes];
        new SplittableRandom(i).nextBytes(b);
        into.put(b);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        SplittableRandom r = new SplittableRandom(~i);
        for (int k = 0; k < leftVertices + rightVertices; k++) into.putFloat((float) r.nextGaussian());
    }
}
