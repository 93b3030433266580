// SPDX-License-Identifier: Apache-2.0
/**
 * Metrics, noise ceilings, baselines and tables of results, on plain arrays. It uses {@code data} alone, so that
 * predictions of any origin can be judged.
 */
package org.cortigan.eval;
