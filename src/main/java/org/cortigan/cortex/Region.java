// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

/**
 * Vertices that one discriminator judges.
 *
 * @param name of the region: {@code all}, {@code lh}, {@code rh}, an ROI's name, or {@code remainder}
 * @param vertices indices into left-then-right, in the order in which the discriminator sees them, each once
 */
public record Region(String name, int[] vertices) {}
