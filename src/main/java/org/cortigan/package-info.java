// SPDX-License-Identifier: Apache-2.0
/**
 * Trains GANs that predict fMRI responses to photographs. Every package may throw {@link org.cortigan.InputException},
 * whose message tells the user what is wrong with the input.
 */
@NullMarked
package org.cortigan;

import org.jspecify.annotations.NullMarked;
