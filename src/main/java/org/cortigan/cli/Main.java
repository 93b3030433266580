// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import org.cortigan.InputException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The command line, {@code tools/cortigan COMMAND}. */
@Command(
        name = "cortigan",
        description = "Trains GANs that predict fMRI responses to photographs.",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        subcommands = {
            Quickstart.class,
            Train.class,
            Evaluate.class,
            Predict.class,
            Average.class,
            Table.class,
            Submit.class,
            Simulate.class,
            Import.class,
            Ceiling.class,
            Baseline.class,
            Recipes.class,
            ProfileCommand.class,
            Doctor.class
        },
        synopsisSubcommandLabel = "COMMAND")
public final class Main {
    private Main() {}

    /** The command line. Wrong input prints one line and exits with code 1; a wrong option exits with code 2. */
    public static CommandLine commandLine() {
        CommandLine c = new CommandLine(new Main()).setCaseInsensitiveEnumValuesAllowed(true);
        c.setExecutionExceptionHandler((e, cmd, parsed) -> {
            PrintWriter err = cmd.getErr();
            if (e instanceof InputException) err.println("cortigan: " + e.getMessage());
            else e.printStackTrace(err);
            err.flush();
            return 1;
        });
        return c;
    }

    /** Runs a command and exits with its code; without arguments, prints the usage and exits with 2. */
    public static void main(String[] args) {
        // jHDF logs by slf4j, which would warn that there is no logger.
        if (System.getProperty("slf4j.internal.verbosity") == null)
            System.setProperty("slf4j.internal.verbosity", "ERROR");
        CommandLine c = commandLine();
        if (args.length == 0) {
            c.usage(c.getErr());
            System.exit(2);
        }
        System.exit(c.execute(args));
    }
}
