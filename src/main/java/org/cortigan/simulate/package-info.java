// SPDX-License-Identifier: Apache-2.0
/** Simulated subjects in the challenge's layout, whose responses are a known function of the photographs plus noise. */
@NullMarked
package org.cortigan.simulate;

import org.jspecify.annotations.NullMarked;
