// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Prints a command's results to standard output and its messages to standard error. */
@Command
final class Output {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    private boolean silent;

    /** From now on prints nothing: another process speaks for this one. */
    void silence() {
        silent = true;
    }

    PrintWriter out() {
        return spec.commandLine().getOut();
    }

    PrintWriter err() {
        return spec.commandLine().getErr();
    }

    /**
     * Checks before long work that its results can be written.
     *
     * @throws InputException if not; the remedy is the option --out
     */
    static void requireWritable(Path folder) {
        String reason = AtomicFiles.unwritable(folder, 0);
        if (reason != null)
            throw new InputException(
                    folder.toString(), "cannot be written: " + reason, "Name another folder with --out");
    }

    /** Name of the class with the main method. */
    String program() {
        return spec.root().userObject().getClass().getName();
    }

    /** The command that the user gave, as it can be typed again. */
    String command() {
        return spec.root().commandLine().getParseResult().originalArgs().stream()
                .map(Output::typed)
                .collect(Collectors.joining(" ", "tools/cortigan ", ""));
    }

    /** An argument as a shell reads it. */
    static String typed(String argument) {
        return argument.matches("[\\w@%+=:,./-]+") ? argument : "'" + argument.replace("'", "'\\''") + "'";
    }

    /** Prints a line of the command's result. */
    void line(String format, Object... args) {
        if (silent) return;
        out().println(String.format(Locale.ROOT, format, args));
        out().flush();
    }

    /** Prints a message that is not part of the command's result, in one line: its names may be of files or of ROIs. */
    void note(String text) {
        if (silent) return;
        err().println(InputException.oneLine(text));
        err().flush();
    }
}
