// SPDX-License-Identifier: Apache-2.0
/**
 * Training of GANs that predict fMRI responses from photographs. {@link org.cortigan.InputException} is what users are
 * told when their input is wrong; every package may throw it.
 */
package org.cortigan;
