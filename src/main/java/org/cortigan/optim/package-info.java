// SPDX-License-Identifier: Apache-2.0
/** The optimizer and its schedule: the update of the weights as part of a graph. It uses layers, ops and settings. */
@NullMarked
package org.cortigan.optim;

import org.jspecify.annotations.NullMarked;
