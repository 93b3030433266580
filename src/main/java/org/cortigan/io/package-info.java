// SPDX-License-Identifier: Apache-2.0
/** File formats: npy, pickle, safetensors and JSON; and atomic writes of files. */
package org.cortigan.io;
