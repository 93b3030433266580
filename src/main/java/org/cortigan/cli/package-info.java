// SPDX-License-Identifier: Apache-2.0
/**
 * The commands: options, output and exit codes. This package may use every package but {@code cuda}; no package uses
 * this one, and only this one uses picocli.
 */
@NullMarked
package org.cortigan.cli;

import org.jspecify.annotations.NullMarked;
