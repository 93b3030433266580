package org.cortigan.train;

import java.nio.ByteBuffer;

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
}
