// SPDX-License-Identifier: Apache-2.0
/** Blocks of native memory that are given back when they are closed. It uses {@code jni} alone. */
package org.cortigan.mem;
