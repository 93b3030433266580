// SPDX-License-Identifier: Apache-2.0
/**
 * Operations: for each its shapes, gradient, cost, kernel arguments and test cases. It uses {@code graph} alone; the
 * kernels themselves are native code.
 */
package org.cortigan.op;
