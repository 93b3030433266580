// SPDX-License-Identifier: Apache-2.0
/** The data of the Algonauts 2023 challenge: subjects, photographs, ROIs, surface meshes and the submission. */
@NullMarked
package org.cortigan.cortex;

import org.jspecify.annotations.NullMarked;
