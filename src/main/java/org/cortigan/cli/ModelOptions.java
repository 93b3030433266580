// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.experiment.Checkpoints;
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
        return models.stream().map(Checkpoints::find).toList();
    }
}
