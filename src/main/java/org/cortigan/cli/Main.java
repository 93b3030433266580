// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.ranks.Launched;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParseResult;

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
            ReportCommand.class,
            Predict.class,
            Average.class,
            Export.class,
            Table.class,
            Submit.class,
            MapCommand.class,
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
        c.registerConverter(Path.class, InputFiles::path);
        c.setExecutionExceptionHandler((e, cmd, parsed) -> report(e, cmd));
        IParameterExceptionHandler usage = c.getParameterExceptionHandler();
        c.setParameterExceptionHandler((e, args) -> e.getCause() instanceof InputException name
                ? report(name, e.getCommandLine())
                : usage.handleParseException(e, args));
        return c;
    }

    private static int report(Exception e, CommandLine command) {
        PrintWriter err = command.getErr();
        if (e instanceof InputException) err.println("cortigan: " + e.getMessage());
        else e.printStackTrace(err);
        err.flush();
        return 1;
    }

    /** Runs a command and exits with its code; without arguments, prints the usage and exits with 2. */
    public static void main(String[] args) {
        // The messages of the JDK and of libraries are in English, with the digits 0 to 9, as CortiGAN's are.
        Locale.setDefault(Locale.ROOT);
        // jHDF logs by slf4j, which would warn that there is no logger.
        if (System.getProperty("slf4j.internal.verbosity") == null)
            System.setProperty("slf4j.internal.verbosity", "ERROR");
        CommandLine c = commandLine();
        c.setExecutionStrategy(Main::execute);
        if (args.length == 0) {
            c.usage(c.getErr());
            System.exit(2);
        }
        System.exit(c.execute(args));
    }

    private static int execute(ParseResult parsed) {
        ParseResult command = parsed.subcommand();
        String name = command == null ? "" : command.commandSpec().name();
        try {
            if (!name.equals("train")) Launched.requireAlone(name);
        } catch (InputException e) {
            return report(e, parsed.commandSpec().commandLine());
        }
        return new CommandLine.RunLast().execute(parsed);
    }
}
