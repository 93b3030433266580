// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import org.cortigan.eval.PixelFeatures;
import org.cortigan.eval.RowSource;
import org.cortigan.model.Predictor;

/** Computes features of photographs for the ridge baseline, in memory. */
public final class ImageFeatures {
    private ImageFeatures() {}

    /** Pixels of photographs of side {@code size}, averaged to {@code small} x {@code small}. */
    public static RowSource pixels(TrainingData data, int size, int small) {
        int n = data.count(), f = PixelFeatures.length(small);
        float[] all = new float[Math.multiplyExact(n, f)];
        ByteBuffer rgb = ByteBuffer.allocate(size * size * 3);
        for (int i = 0; i < n; i++) {
            rgb.clear();
            data.image(i, rgb);
            PixelFeatures.compute(rgb.array(), 0, size, size, small, all, i * f);
        }
        return RowSource.of(all, n, f);
    }

    /** The features that the head of a network reads. */
    public static RowSource of(Predictor p, TrainingData data) {
        int n = data.count(), f = p.columns();
        float[] all = new float[Math.multiplyExact(n, f)];
        for (int at = 0; at < n; at += p.batch()) {
            int m = Math.min(p.batch(), n - at);
            ByteBuffer x = p.imageBytesOfBatch();
            for (int k = 0; k < m; k++) data.image(at + k, x);
            p.run();
            p.read(all, at * f, m);
        }
        return RowSource.of(all, n, f);
    }
}
