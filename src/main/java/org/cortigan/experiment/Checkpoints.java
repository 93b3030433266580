// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import org.cortigan.InputException;
import org.cortigan.train.RunFolder;

/** Finds the checkpoint that a user names. */
public final class Checkpoints {
    private Checkpoints() {}

    /**
     * Finds the checkpoint of a path: a file is the checkpoint itself; a run folder has its best checkpoint, or its
     * last one if there is no best.
     *
     * @param fileOrRun checkpoint or run folder
     * @throws InputException if the folder has no checkpoint
     */
    public static Path find(Path fileOrRun) {
        if (!Files.isDirectory(fileOrRun)) return fileOrRun;
        Path best = RunFolder.best(fileOrRun), last = RunFolder.last(fileOrRun);
        if (Files.exists(best)) return best;
        if (Files.exists(last)) return last;
        throw new InputException(
                fileOrRun.toString(),
                "has neither best.safetensors nor last.safetensors",
                "Give a run folder or a checkpoint");
    }
}
