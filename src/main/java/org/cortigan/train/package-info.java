// SPDX-License-Identifier: Apache-2.0
/**
 * Training: recipes, the graph of a step, the loop, checkpoints and evaluation of models. It joins models, data and
 * devices; only the command line is above it.
 */
package org.cortigan.train;
