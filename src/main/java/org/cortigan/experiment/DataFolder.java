// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.ImageCache;
import org.cortigan.simulate.SimulatedDataset;

/**
 * A folder of subjects in the layout of the Algonauts 2023 challenge.
 *
 * @param folder folder that holds subj01 ... subj08
 * @param cache folder of decoded photographs
 */
public record DataFolder(Path folder, Path cache) {
    /** Name of the cache folder in a data folder. */
    public static final String CACHE = ImageCache.DEFAULT_NAME;

    /** The folder with the cache {@link #CACHE} in it. */
    public DataFolder(Path folder) {
        this(folder, folder.resolve(CACHE));
    }

    /** Opens a subject, 1 to 8; the caller closes it. */
    public AlgonautsSubject open(int subject) {
        return AlgonautsSubject.open(folder, subject);
    }

    /** The folder of the responses to a subject's test images, which need not exist. */
    public Path heldOut(int subject) {
        return SimulatedDataset.heldOut(folder, subject);
    }

    /** Whether the responses to a subject's test images exist. */
    public boolean hasHeldOut(int subject) {
        return Files.isDirectory(heldOut(subject));
    }
}
