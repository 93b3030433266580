// SPDX-License-Identifier: Apache-2.0
/**
 * The CUDA device: CUDA runtime, cuBLASLt and cuDNN behind the interfaces of {@code exec}. No other package names these
 * classes, so that NVIDIA's libraries are loaded only when needed.
 */
@NullMarked
package org.cortigan.cuda;

import org.jspecify.annotations.NullMarked;
