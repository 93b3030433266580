// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import org.cortigan.experiment.DataFolder;
import picocli.CommandLine.Option;

/** Options that name the data. */
class DataOptions {
    @Option(
            names = "--data",
            required = true,
            paramLabel = "DIR",
            description = "Folder with the challenge's subj01 ... subj08, or a simulated one.")
    private Path folder;

    @Option(
            names = "--cache",
            paramLabel = "DIR",
            description = "Folder for decoded photographs (default: " + DataFolder.CACHE + " in the data folder).")
    private Path cache;

    DataFolder data() {
        return new DataFolder(folder, cache);
    }
}
