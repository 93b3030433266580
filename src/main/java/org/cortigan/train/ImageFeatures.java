// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.util.stream.IntStream;
import org.cortigan.cortex.ImageCache;
import org.cortigan.eval.RowSource;
import org.cortigan.features.GaborPyramid;
import org.cortigan.features.PixelFeatures;
import org.cortigan.model.Predictor;

/** Computes features of photographs for ridge regression, in memory: f32 [photographs, features]. */
public final class ImageFeatures {
    private ImageFeatures() {}

    /** Computes the features of one photograph. */
    @FunctionalInterface
    private interface Body {
        /** @param rgb photograph u8 [S, S, 3] */
        void compute(byte[] rgb, float[] out, int at);
    }

    /** Pixels, averaged to {@code small} x {@code small}. */
    public static RowSource pixels(ImageCache photographs, int small) {
        int size = photographs.size();
        return each(
                photographs,
                PixelFeatures.length(small),
                (rgb, out, at) -> PixelFeatures.compute(rgb, 0, size, size, small, out, at));
    }

    /** Features of a Gabor wavelet pyramid, whose side must be that of the photographs. */
    public static RowSource gabor(ImageCache photographs, GaborPyramid pyramid) {
        return each(photographs, pyramid.features(), pyramid::compute);
    }

    private static RowSource each(ImageCache photographs, int features, Body body) {
        int n = photographs.count(), size = photographs.size();
        float[] all = new float[Math.multiplyExact(n, features)];
        IntStream.range(0, n).parallel().forEach(i -> {
            ByteBuffer rgb = ByteBuffer.allocate(size * size * 3);
            photographs.read(i, rgb);
            body.compute(rgb.array(), all, i * features);
        });
        return RowSource.of(all, n, features);
    }

    /** The features that the head of a network reads. */
    public static RowSource of(Predictor p, ImageCache photographs) {
        int n = photographs.count(), f = p.columns();
        float[] all = new float[Math.multiplyExact(n, f)];
        for (int at = 0; at < n; at += p.batch()) {
            int m = Math.min(p.batch(), n - at);
            ByteBuffer x = p.imageBytesOfBatch();
            for (int k = 0; k < m; k++) photographs.read(at + k, x);
            p.run();
            p.read(all, at * f, m);
        }
        return RowSource.of(all, n, f);
    }
}
