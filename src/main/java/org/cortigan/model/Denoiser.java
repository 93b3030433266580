// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.Value;
import org.cortigan.nn.Weights;

/** A diffusion model of one subject's responses, as its {@link Sampler} sees it. */
interface Denoiser {
    /** How noise was added, and what the network computes. */
    DiffusionSchedule schedule();

    /** How responses are predicted. */
    Sampling sampling();

    /** Numbers of a response. */
    int vertices();

    /**
     * What the network knows of photographs u8 [B, S, S, 3]: f32 [B, n], computed once for all steps of all samples.
     */
    Value context(Weights w, Value images);

    /**
     * The network's output, f32 [B, V].
     *
     * @param x noisy responses, f32 [B, V]
     * @param t their timesteps, i32 [B]
     * @param context f32 [B, n]
     */
    Value output(Weights w, Value x, Value t, Value context);
}
