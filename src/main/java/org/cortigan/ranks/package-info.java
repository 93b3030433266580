// SPDX-License-Identifier: Apache-2.0
/**
 * How the ranks of a data-parallel run find each other: as {@code mpirun} or {@code srun} started them, or through
 * sockets.
 */
@NullMarked
package org.cortigan.ranks;

import org.jspecify.annotations.NullMarked;
