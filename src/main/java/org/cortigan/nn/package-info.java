// SPDX-License-Identifier: Apache-2.0
/**
 * Layers, weights with their initial values, and optimizers, as parts of a graph. This package uses {@code graph},
 * {@code op} and {@code config}, and is independent of devices and data.
 */
@NullMarked
package org.cortigan.nn;

import org.jspecify.annotations.NullMarked;
