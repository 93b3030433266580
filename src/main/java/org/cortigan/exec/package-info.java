// SPDX-License-Identifier: Apache-2.0
/**
 * Runs planned graphs on devices: sessions, variables, storage, and the devices themselves. The package uses plans and
 * native code. It finds the CUDA device through {@link java.util.ServiceLoader} and never names its classes.
 */
@NullMarked
package org.cortigan.exec;

import org.jspecify.annotations.NullMarked;
