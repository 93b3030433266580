// SPDX-License-Identifier: Apache-2.0
/**
 * Operations: the shapes, gradient, cost, kernel arguments and test cases of each. The kernels are native code. This
 * package uses only {@code graph}, and {@code onnx} to export ops.
 */
@NullMarked
package org.cortigan.op;

import org.jspecify.annotations.NullMarked;
