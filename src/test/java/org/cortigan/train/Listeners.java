// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.function.Consumer;

/** Listeners of a single kind of event. */
final class Listeners {
    interface OnStep {
        /** @param step number of steps done */
        void step(long step, double loss);
    }

    private Listeners() {}

    static TrainerListener onStep(OnStep f) {
        return new TrainerListener() {
            @Override
            public void step(long step, long steps, double loss) {
                f.step(step, loss);
            }
        };
    }

    static TrainerListener onEpoch(Consumer<EpochResult> f) {
        return new TrainerListener() {
            @Override
            public void epoch(EpochResult e) {
                f.accept(e);
            }
        };
    }

    /** Requests a stop after the given step. */
    static TrainerListener stopAt(Trainer t, long last) {
        return onStep((step, loss) -> {
            if (step == last) t.requestStop();
        });
    }
}
