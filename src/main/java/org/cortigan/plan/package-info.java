// SPDX-License-Identifier: Apache-2.0
/**
 * Plans a graph before it runs: the order of its nodes, which values share storage, and the offset of every tensor.
 * This package uses {@code graph} and {@code op} and is independent of devices.
 */
@NullMarked
package org.cortigan.plan;

import org.jspecify.annotations.NullMarked;
