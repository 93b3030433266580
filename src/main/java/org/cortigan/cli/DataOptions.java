// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import org.cortigan.experiment.DataFolder;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options that locate the data. */
class DataOptions {
    @Option(
            names = "--data",
            required = true,
            paramLabel = "DIR",
            description = "Folder with subj01 ... subj08, of the challenge or simulated.")
    private Path folder;

    @Option(
            names = "--cache",
            paramLabel = "DIR",
            description = "Folder for decoded photographs (default: " + DataFolder.CACHE + " in the data folder, or"
                    + " cortigan in the user's cache folder if the data folder cannot be written).")
    private @Nullable Path cache;

    DataFolder data() {
        return cache == null ? new DataFolder(folder) : new DataFolder(folder, cache);
    }
}
