// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;

/**
 * Scripts for sbatch: an array job with a task for each run of a table, and a job that writes the table when the array
 * has ended. They need neither this program's launcher nor a build, but the JDK and the jars of this process.
 */
final class SlurmScripts {
    private static final String THREADS = "$threads", ROW = "$row";

    private final Path folder;
    private final SlurmOptions options;
    private final String program, madeBy;

    SlurmScripts(Path out, SlurmOptions options, Output output) {
        folder = out.resolve("slurm").toAbsolutePath().normalize();
        this.options = options;
        program = output.program();
        madeBy = output.command();
        if (!folder.toString().equals(InputException.oneLine(folder.toString())))
            throw new InputException(
                    folder.toString(), "has a control character, which no script for Slurm can name", "Rename it");
    }

    /**
     * Writes both scripts, which may replace earlier ones.
     *
     * @param names of the runs, by the number of their task
     * @param arguments of the command that has the runs
     * @param threads of the option, 0 if it is not given
     * @param device of a run
     * @return the shell's command that submits them
     */
    String write(List<String> names, List<String> arguments, int threads, String device) {
        AtomicFiles.createFolder(folder);
        List<String> row = new ArrayList<>(arguments);
        row.addAll(List.of("--device=" + device, "--threads=" + THREADS, "--only=" + ROW));
        String body = "rows=(\n"
                + names.stream().map(n -> "  " + Output.typed(n) + "\n").collect(Collectors.joining())
                + ")\nrow=${rows[$SLURM_ARRAY_TASK_ID]}\n"
                // sbatch --cpus-per-task may have overridden the script's.
                + "threads=${SLURM_CPUS_PER_TASK:-" + options.cores(threads) + "}\n"
                + "echo \"" + ROW + " on $(uname -n), threads: " + THREADS + "\"\n";
        Path rows = script(
                "rows",
                "%A_%a",
                options.rows(names.size(), threads),
                body,
                OwnProcess.command(program, List.of(OwnProcess.cores(THREADS)), row));
        List<String> all = new ArrayList<>(arguments);
        all.add("--assemble");
        Path table = script("table", "%j", options.table(), "", OwnProcess.command(program, List.of(), all));
        return "sbatch --dependency=afterany:$(sbatch --parsable " + Output.typed(rows.toString()) + ") "
                + Output.typed(table.toString());
    }

    private Path script(String name, String job, List<String> sbatch, String body, List<String> command) {
        // In a name of sbatch's output, % begins a placeholder, and a quoted string has escapes.
        String log = folder.toString().replace("%", "%%").replace("\\", "\\\\").replace("\"", "\\\"");
        StringBuilder s = new StringBuilder("#!/bin/bash\n");
        s.append("# Written by: ").append(InputException.oneLine(madeBy)).append('\n');
        s.append("#SBATCH --job-name=cortigan-").append(name).append('\n');
        s.append("#SBATCH --output=\"")
                .append(log)
                .append('/')
                .append(name)
                .append('-')
                .append(job);
        s.append(".txt\"\n");
        for (String option : sbatch) s.append("#SBATCH ").append(option).append('\n');
        s.append("set -euo pipefail\n");
        s.append("cd -- ")
                .append(Output.typed(Path.of("").toAbsolutePath().toString()))
                .append('\n');
        s.append(body);
        s.append("exec ");
        s.append(command.stream().map(SlurmScripts::typed).collect(Collectors.joining(" \\\n  ")));
        Path file = folder.resolve(name + ".sbatch");
        AtomicFiles.writeString(file, s.append('\n').toString());
        return file;
    }

    /** An argument as bash reads it; the script's own variables are expanded. */
    private static String typed(String argument) {
        boolean own = argument.endsWith("=" + THREADS) || argument.endsWith("=" + ROW);
        return own ? "\"" + argument + "\"" : Output.typed(argument);
    }
}
