// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import org.cortigan.eval.NoiseCeiling;
import picocli.CommandLine.Option;

/** The unit of the noise ceilings in the data. */
final class CeilingOptions {
    @Option(
            names = "--noise-ceiling-unit",
            defaultValue = "FRACTION",
            paramLabel = "UNIT",
            description =
                    "Unit of {lh,rh}_noise_ceiling.npy in the subject folder or its test_split/noise_ceiling: fraction"
                            + " or percent"
                            + " (default ${DEFAULT-VALUE}). The command ceiling makes these files.")
    private NoiseCeiling.Unit unit;

    NoiseCeiling.Unit unit() {
        return unit;
    }
}
