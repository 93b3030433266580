// SPDX-License-Identifier: Apache-2.0
/**
 * Graphs of tensor operations: shapes, types, values and nodes, without any computation. This package is the bottom
 * layer and uses no other package.
 */
@NullMarked
package org.cortigan.graph;

import org.jspecify.annotations.NullMarked;
