// SPDX-License-Identifier: Apache-2.0
/**
 * Experiments from the recipe to the report: training, evaluation, baselines and the table of their results. This
 * package may use every package but {@code cli} and {@code cuda}, and prints nothing.
 */
@NullMarked
package org.cortigan.experiment;

import org.jspecify.annotations.NullMarked;
