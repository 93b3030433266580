// SPDX-License-Identifier: Apache-2.0
/**
 * Experiments from the recipe to the report: training, evaluation, baselines and the table of their results. It may use
 * everything but the commands and CUDA, and prints nothing of its own.
 */
package org.cortigan.experiment;
