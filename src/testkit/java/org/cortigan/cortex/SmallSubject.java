// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Path;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.simulate.SimulatedDataset;

/** A simulated subject of 400 + 420 vertices, for tests of other packages. */
public final class SmallSubject {
    private SmallSubject() {}

    /** Writes subject 1 with its photographs of 64 x 64 pixels into a folder. */
    public static void write(Path data, int images, int testImages) {
        SimulatedDataset.write(
                new SimulatedDataset.Options(
                        data, 1, BundledPhotos.extract(data.resolve("photographs")), images, testImages, 64, 0),
                new int[] {400, 420},
                s -> {});
    }
}
