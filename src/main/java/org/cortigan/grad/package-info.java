// SPDX-License-Identifier: Apache-2.0
/**
 * Reverse-mode differentiation: adds the nodes of the backward pass to a graph. It uses {@code graph} and {@code op}.
 */
package org.cortigan.grad;
