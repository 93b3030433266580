// SPDX-License-Identifier: Apache-2.0
/**
 * The commands: options, output and exit codes. It may use everything but {@code cuda}; nothing uses it, and it alone
 * knows picocli.
 */
package org.cortigan.cli;
