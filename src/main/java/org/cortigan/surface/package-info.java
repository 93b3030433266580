// SPDX-License-Identifier: Apache-2.0
/** The surfaces of fsaverage, and pictures of values on them. */
@NullMarked
package org.cortigan.surface;

import org.jspecify.annotations.NullMarked;
