// SPDX-License-Identifier: Apache-2.0
/**
 * Measures where a step spends its time and what the device could do at best. It uses {@code exec} and what lies below
 * it.
 */
package org.cortigan.prof;
