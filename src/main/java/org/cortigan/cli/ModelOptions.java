// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.io.InputFiles;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The trained models of a command. */
final class ModelOptions {
    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "1..*",
            description = "Run folder (its best checkpoint is used) or checkpoint. With several, their predictions are"
                    + " averaged.")
    private List<Path> models;

    @Option(names = "--other-subject", description = "Accepts a model that was trained on another subject.")
    private boolean acceptsOtherSubject;

    boolean acceptsOtherSubject() {
        return acceptsOtherSubject;
    }

    List<Path> checkpoints() {
        List<Path> found = models.stream().map(Checkpoints::find).toList();
        Set<Path> distinct = new HashSet<>();
        for (Path p : found)
            if (!distinct.add(InputFiles.real(p)))
                throw new InputException(p.toString(), "is given twice", "Give each model once");
        return found;
    }
}
