// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayDeque;
import java.util.Deque;
import org.cortigan.jni.Memory;

/** A session's resources, closed in reverse order. All of them are closed before the first failure is thrown. */
final class Resources implements AutoCloseable {
    private final Deque<Runnable> closers = new ArrayDeque<>();

    void onClose(Runnable closer) {
        closers.push(closer);
    }

    Memory own(Memory m) {
        onClose(m::close);
        return m;
    }

    @Override
    public void close() {
        RuntimeException failure = null;
        while (!closers.isEmpty())
            try {
                closers.pop().run();
            } catch (RuntimeException e) {
                if (failure == null) failure = e;
                else failure.addSuppressed(e);
            }
        if (failure != null) throw failure;
    }
}
