// SPDX-License-Identifier: Apache-2.0
/** The report of evaluations: one self-contained page with maps of the cortex, and its server while a run trains. */
@NullMarked
package org.cortigan.report;

import org.jspecify.annotations.NullMarked;
