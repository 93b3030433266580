// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/** Parts that the convolutional backbones share: 4x4 convolutions with stride 2, and the features of their last map. */
final class Convolutions {
    static final int[] FOUR = {4, 4};
    static final int[] THREE = {3, 3};
    static final int[] TWO = {2, 2};
    static final int[] ONE = {1, 1};

    private Convolutions() {}

    /** The key {@code channels}: output channels of each convolution, at least one. */
    static List<Integer> channels(Settings s) {
        List<Integer> channels = s.integers("channels");
        if (channels.isEmpty()) throw s.wrong("channels", "is empty", "Give at least one convolution");
        return channels;
    }

    /** Refuses a side in pixels that cannot be halved n times. */
    static void checkImage(int n, int side, Settings s) {
        long multiple = 1L << Math.min(n, 62);
        if (side % multiple != 0)
            throw s.wrong(
                    "channels",
                    "the maps are halved " + n + " times, which " + side + " pixels do not allow",
                    "Choose fewer convolutions, or an image side that is a multiple of " + multiple);
    }

    /**
     * Features of a map [B, H, W, C]: a linear layer gives maps, flattening and one hidden layer give vectors.
     *
     * @param hidden width of the vectors
     */
    static Features features(Weights w, Value map, int hidden, Features.Form form) {
        try (Graph.Scope s = map.graph().scope("features")) {
            if (!form.spatial()) return Features.vectors(flatten(w.sub("features"), map, hidden), 1);
            Value x = Layers.linear(w.sub("readout"), map, form.channels());
            return Features.maps(Ops.reshape(x, x.dim(0), 1, x.dim(1), x.dim(2), x.dim(3)));
        }
    }

    private static Value flatten(Weights w, Value map, int hidden) {
        Value x = Ops.reshape(map, map.dim(0), Math.toIntExact(map.shape().elements(1, 4)));
        return Layers.leakyRelu(Layers.linear(w, x, hidden));
    }
}
