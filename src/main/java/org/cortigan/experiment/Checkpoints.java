// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import org.cortigan.InputException;
import org.cortigan.train.RunFolder;

/** Checkpoints that a user names. */
public final class Checkpoints {
    private Checkpoints() {}

    /**
     * The checkpoint that a path names.
     *
     * @param fileOrRun a checkpoint, or a run's folder for its best checkpoint, or its last one if it has no best
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
                "Give a run's folder or a checkpoint");
    }
}
