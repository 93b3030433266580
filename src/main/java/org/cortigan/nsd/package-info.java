// SPDX-License-Identifier: Apache-2.0
/**
 * Import from the files of the Natural Scenes Dataset (NSD, Allen et al. 2022): experimental design, stimuli, betas on
 * fsaverage, signal-to-noise ratios and ROI labels become a subject in the challenge's layout.
 */
@NullMarked
package org.cortigan.nsd;

import org.jspecify.annotations.NullMarked;
