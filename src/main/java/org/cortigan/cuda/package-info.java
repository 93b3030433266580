// SPDX-License-Identifier: Apache-2.0
/**
 * The CUDA device: runtime, cuBLASLt and cuDNN behind the interfaces of {@code exec}. No other package names its
 * classes, so that nothing of NVIDIA is loaded without need.
 */
package org.cortigan.cuda;
