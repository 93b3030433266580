// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.util.Objects;

/**
 * The vertices of one ROI in one hemisphere. Groups may overlap and may be empty.
 *
 * @param roiClass class of the ROI, for example {@code "floc-faces"}
 * @param name name of the ROI, for example {@code "FFA-1"}
 * @param hemisphere {@code "lh"} or {@code "rh"}
 * @param vertices indices into the vertices of that hemisphere
 */
public record VertexGroup(String roiClass, String name, String hemisphere, int[] vertices) {
    public VertexGroup {
        Objects.requireNonNull(roiClass);
        Objects.requireNonNull(name);
        Objects.requireNonNull(vertices);
        if (!"lh".equals(hemisphere) && !"rh".equals(hemisphere)) {
            throw new IllegalArgumentException("hemisphere must be lh or rh, not " + hemisphere);
        }
    }
}
