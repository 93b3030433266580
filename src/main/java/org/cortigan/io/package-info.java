// SPDX-License-Identifier: Apache-2.0
/** File formats: npy, pickle, safetensors, JSON, and files that are written whole or not at all. */
package org.cortigan.io;
