// SPDX-License-Identifier: Apache-2.0
/** Simulated subjects in the challenge's layout, with responses that are a known function of the photographs. */
package org.cortigan.simulate;
