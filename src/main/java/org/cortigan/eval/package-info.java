// SPDX-License-Identifier: Apache-2.0
/**
 * Metrics, noise ceilings, baselines and tables of results, on plain arrays. This package uses only {@code io} and
 * {@code cortex}, so that it can evaluate predictions from any source.
 */
@NullMarked
package org.cortigan.eval;

import org.jspecify.annotations.NullMarked;
