// SPDX-License-Identifier: Apache-2.0
/**
 * The boundary to native code: loads the library, checks its schema, calls kernels, and allocates off-heap memory. This
 * package uses only {@link org.cortigan.InputException} from the rest of the engine. Only this package and {@code cuda}
 * use JavaCPP.
 */
@NullMarked
package org.cortigan.jni;

import org.jspecify.annotations.NullMarked;
