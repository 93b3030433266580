// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
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

    /**
     * Opens a subject, 1 to 8; the caller closes it.
     *
     * @param log receives what the user should know about its files
     */
    public AlgonautsSubject open(int subject, Consumer<String> log) {
        return AlgonautsSubject.open(folder, subject, log);
    }

    /**
     * The folder of the responses to a subject's test images: subj0X_held_out, where {@code simulate} writes them, or
     * test_split/test_fmri in the subject's folder. The former, which does not exist, if neither has any.
     */
    public Path heldOut(int subject) {
        return heldOut(subject, note -> {});
    }

    /** The same; {@code log} is told if both have files and these differ. */
    public Path heldOut(int subject, Consumer<String> log) {
        Path simulated = SimulatedDataset.heldOut(folder, subject),
                organisers = AlgonautsSubject.folder(folder, subject).resolve(AlgonautsSubject.TEST_FMRI);
        return AlgonautsSubject.found(List.of(simulated, organisers), "_test_fmri.npy", log)
                .orElse(simulated);
    }

    /** Whether the responses to a subject's test images exist. */
    public boolean hasHeldOut(int subject) {
        return Files.isDirectory(heldOut(subject));
    }
}
