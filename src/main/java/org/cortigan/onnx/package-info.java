// SPDX-License-Identifier: Apache-2.0
/** Writes files of ONNX, the exchange format of neural networks. It knows the format alone, no network of CortiGAN. */
@NullMarked
package org.cortigan.onnx;

import org.jspecify.annotations.NullMarked;
