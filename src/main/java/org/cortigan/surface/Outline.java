// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

/**
 * A region whose outline is drawn.
 *
 * @param name drawn in the region; may be empty
 * @param inside whether each vertex belongs to it, [2][vertices of the level]
 */
public record Outline(String name, boolean[][] inside) {}
