// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import org.cortigan.cortex.AlgonautsSubject;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options that locate the data of one subject. */
final class SubjectOptions extends DataOptions {
    @Option(
            names = "--subject",
            defaultValue = "1",
            paramLabel = "N",
            description = "1 to 8 (default ${DEFAULT-VALUE}).")
    private int number;

    int number() {
        return number;
    }

    /** Opens the subject's data. */
    AlgonautsSubject open(Output output) {
        return data().open(number, output::note);
    }

    /** The folder of the responses to the test images: {@code named}, or the default one if that is null. */
    Path heldOut(@Nullable Path named, Output output) {
        return named != null ? named : data().heldOut(number, output::note);
    }
}
