// SPDX-License-Identifier: Apache-2.0
/**
 * Training: recipes, the graph of a step, the training loop, checkpoints and the evaluation of models. This package
 * joins models, data and devices; only {@code experiment} and {@code cli} use it.
 */
@NullMarked
package org.cortigan.train;

import org.jspecify.annotations.NullMarked;
