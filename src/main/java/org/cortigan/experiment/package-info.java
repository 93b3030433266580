// SPDX-License-Identifier: Apache-2.0
/**
 * Experiments from the recipe to the report: training, evaluation, baselines and the table of their results. Only
 * {@code cli} uses this package, which prints nothing; docs/ARCHITECTURE.md lists the packages that it may use.
 */
@NullMarked
package org.cortigan.experiment;

import org.jspecify.annotations.NullMarked;
