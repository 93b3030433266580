// SPDX-License-Identifier: Apache-2.0
/**
 * Layers, weights and their initial values, as parts of a graph. It uses graphs and ops, and knows neither devices nor
 * data.
 */
@NullMarked
package org.cortigan.nn;

import org.jspecify.annotations.NullMarked;
