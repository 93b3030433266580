// SPDX-License-Identifier: Apache-2.0
/**
 * Reverse-mode differentiation: adds the backward pass to a graph and recomputes cheap outputs in it. This package uses
 * {@code graph} and {@code op}.
 */
@NullMarked
package org.cortigan.grad;

import org.jspecify.annotations.NullMarked;
