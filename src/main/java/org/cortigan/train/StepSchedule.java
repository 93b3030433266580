// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

/**
 * Learning rates and loss weights at every step (0, 1, ...) of a run.
 *
 * @param stepsPerEpoch steps per epoch, of all subjects together
 * @param steps steps of the whole run
 */
record StepSchedule(StepSettings settings, long stepsPerEpoch, long steps) {
    double generatorRate(long step) {
        return settings.generatorOptimizer().at(step, stepsPerEpoch, steps);
    }

    double discriminatorRate(long step) {
        return settings.discriminatorOptimizer().at(step, stepsPerEpoch, steps);
    }

    double pixelWeight(long step) {
        return settings.loss().pixelTerm().at(step, stepsPerEpoch);
    }

    double correlationWeight(long step) {
        return settings.loss().correlationTerm().at(step, stepsPerEpoch);
    }

    double adversarialWeight(long step) {
        return settings.loss().ganTerm().at(step, stepsPerEpoch);
    }
}
