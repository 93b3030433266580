// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;

/** Data whose responses are not as they were. */
record Changed(TrainingData of, Change change) implements TrainingData {
    interface Change {
        /** @param at where the photograph's first response lies, f32 */
        void to(int photograph, ByteBuffer responses, int at);
    }

    /** One vertex' response to one photograph is not finite. */
    static Changed hole(TrainingData of, int photograph, int vertex) {
        return new Changed(of, (i, r, at) -> {
            if (i == photograph) r.putFloat(at + 4 * vertex, Float.NaN);
        });
    }

    @Override
    public int count() {
        return of.count();
    }

    @Override
    public int leftVertices() {
        return of.leftVertices();
    }

    @Override
    public int rightVertices() {
        return of.rightVertices();
    }

    @Override
    public void image(int i, ByteBuffer into) {
        of.image(i, into);
    }

    @Override
    public void responses(int i, ByteBuffer into) {
        int at = into.position();
        of.responses(i, into);
        change.to(i, into, at);
    }
}
