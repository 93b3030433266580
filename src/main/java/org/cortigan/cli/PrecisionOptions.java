// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import org.cortigan.exec.Precision;
import picocli.CommandLine.Option;

/** The precision of predictions, whatever the model was trained in. */
final class PrecisionOptions {
    @Option(
            names = "--precision",
            defaultValue = "fp32",
            paramLabel = "P",
            description = "Precision of the products: fp32, tf32 (NVIDIA GPUs) or bf16 (default ${DEFAULT-VALUE}).")
    private Precision precision;

    Precision precision() {
        return precision;
    }
}
