// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.graph.DType;

/** Runs nothing and holds nothing: for planning without memory or a native library. */
public final class NullDevice implements Device {
    @Override
    public String name() {
        return "null";
    }

    @Override
    public int elementBytes(DType t) {
        return t.bytes();
    }

    @Override
    public int backend() {
        return -1;
    }

    @Override
    public int threads() {
        return 1;
    }
}
