// SPDX-License-Identifier: Apache-2.0
/** Fixed features of photographs, computed without training, on plain arrays. */
@NullMarked
package org.cortigan.features;

import org.jspecify.annotations.NullMarked;
