// SPDX-License-Identifier: Apache-2.0
/**
 * The commands: options, output and exit codes. Only this package uses picocli, and no package uses this one;
 * docs/ARCHITECTURE.md lists the packages that it may use.
 */
@NullMarked
package org.cortigan.cli;

import org.jspecify.annotations.NullMarked;
