// SPDX-License-Identifier: Apache-2.0
/** File formats: npy, pickle, safetensors and JSON; and atomic writes of files. */
@NullMarked
package org.cortigan.io;

import org.jspecify.annotations.NullMarked;
