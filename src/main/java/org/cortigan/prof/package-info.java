// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the time that a step spends in each node and the best that the device can do. The package uses {@code exec}
 * and the packages below it.
 */
@NullMarked
package org.cortigan.prof;

import org.jspecify.annotations.NullMarked;
