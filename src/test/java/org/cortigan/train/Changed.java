// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;

/** Training data with changed responses. */
record Changed(TrainingData original, Change change) implements TrainingData {
    interface Change {
        /** @param at byte offset of the photograph's first response, f32 */
        void to(int photograph, ByteBuffer responses, int at);
    }

    /** Makes the response of one vertex to one photograph NaN. */
    static Changed withNan(TrainingData original, int photograph, int vertex) {
        return new Changed(original, (i, r, at) -> {
            if (i == photograph) r.putFloat(at + 4 * vertex, Float.NaN);
        });
    }

    @Override
    public int count() {
        return original.count();
    }

    @Override
    public int[] roiOfVertex() {
        return original.roiOfVertex();
    }

    @Override
    public int leftVertices() {
        return original.leftVertices();
    }

    @Override
    public int rightVertices() {
        return original.rightVertices();
    }

    @Override
    public void image(int i, ByteBuffer into) {
        original.image(i, into);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        int at = into.position();
        original.responses(i, into);
        change.to(i, into, at);
    }
}
