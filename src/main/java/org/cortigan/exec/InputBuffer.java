// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.LongFunction;
import org.cortigan.jni.Memory;

/**
 * Where the host puts the next contents of an input, in the input's own type: the tensor itself where the host sees it
 * in that type, otherwise memory that {@link #send()} copies.
 */
public abstract class InputBuffer implements AutoCloseable {
    private InputBuffer() {}

    /** All bytes, little-endian; a live view with a position of its own. */
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

    /** Memory of its own. */
    static final class Copied extends InputBuffer {
        private final Storage input;
        private final Memory memory;
        private final ByteBuffer all;

        /** @param allocate gives memory from which the input's device copies */
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
