// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.LongFunction;
import org.cortigan.jni.Memory;

/**
 * A buffer for the next contents of an input, in the input's own type. It is the tensor itself if the host accesses the
 * tensor directly and in that type, otherwise separate memory that {@link #send()} copies.
 */
public abstract class InputBuffer implements AutoCloseable {
    private InputBuffer() {}

    /** All bytes, little-endian; a live view with its own position. */
    public abstract ByteBuffer contents();

    /** Writes the contents to the input. They must not change until a result of the next run has been read. */
    public abstract void send();

    @Override
    public abstract void close();

    /** The tensor itself. */
    static final class Direct extends InputBuffer {
        private final HostStorage input;

        Direct(HostStorage input) {
            this.input = input;
        }

        @Override
        public ByteBuffer contents() {
            return input.snapshot();
        }

        @Override
        public void send() {}

        @Override
        public void close() {}
    }

    /** Separate memory that is copied to the input. */
    static final class Copied extends InputBuffer {
        private final Storage input;
        private final Memory memory;
        private final ByteBuffer all;

        /** @param allocate allocates host memory that the input's device can copy */
        Copied(Storage input, LongFunction<Memory> allocate) {
            this.input = input;
            memory = allocate.apply(
                    (long) input.elements() * input.type().dtype().bytes());
            all = memory.view(0, memory.bytes());
        }

        @Override
        public ByteBuffer contents() {
            return all.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        }

        @Override
        public void send() {
            input.write(all);
        }

        @Override
        public void close() {
            memory.close();
        }
    }
}
