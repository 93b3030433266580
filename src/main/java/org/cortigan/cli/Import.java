// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import picocli.CommandLine.Command;

@Command(
        name = "import",
        description = "Makes a subject in the challenge's layout from other data sets.",
        mixinStandardHelpOptions = true,
        subcommands = ImportNsd.class,
        synopsisSubcommandLabel = "DATASET")
final class Import {}
