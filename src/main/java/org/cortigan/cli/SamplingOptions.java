// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.List;
import org.cortigan.model.Sampling;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How a diffusion model predicts, instead of as its recipe says. */
final class SamplingOptions {
    @Option(
            names = "--mode",
            description = "Of a model with the readout diffusion: mean (one evaluation of the network) or samples (the"
                    + " mean of samples) (default: the recipe's).")
    private Sampling.@Nullable Mode mode;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Steps of the sampler, a divisor of 1000 (default: the recipe's).")
    private @Nullable Integer steps;

    @Option(
            names = "--samples",
            paramLabel = "K",
            split = ",",
            description =
                    "Samples whose mean is the prediction (default: the recipe's). evaluate takes several numbers,"
                            + " for example 1,2,4,8, and compares the means; for one model it also tells how the samples spread.")
    private List<Integer> samples = List.of();

    @Option(
            names = "--independent",
            description = "Begins every sample from noise of its own: no antithetic pairs (default: as the recipe"
                    + " says). The CRPS skill of evaluate is of independent samples of one model.")
    private boolean independent;

    Sampling.Change change() {
        return new Sampling.Change(mode, steps, samples, independent);
    }
}
