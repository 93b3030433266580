// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

/**
 * The vertices of one discriminator.
 *
 * @param name name of the region: {@code all}, {@code lh}, {@code rh}, an ROI's name, or {@code remainder}
 * @param vertices indices into the left then the right vertices, each once, in the order of the discriminator's input
 */
public record Region(String name, int[] vertices) {}
