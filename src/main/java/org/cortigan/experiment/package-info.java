// SPDX-License-Identifier: Apache-2.0
/**
 * Experiments as a program runs them: a training run with its files, the evaluation of trained models, the ridge
 * baseline, and the comparison of many runs. The command line is a thin layer on top of this package.
 */
package org.cortigan.experiment;
