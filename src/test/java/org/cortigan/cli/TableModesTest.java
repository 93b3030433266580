// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Checks how the command table is told to do its runs, and the scripts for Slurm; needs no data. */
class TableModesTest {
    @TempDir
    Path dir;

    private TableTest.Result table(String... more) {
        List<String> args =
                new ArrayList<>(List.of("table", "-o", dir.resolve("a b's").toString()));
        args.addAll(List.of("--data", dir.resolve("no data").toString(), "--recipes", "vit-gan-tiny,quickstart"));
        return TableTest.run(TableTest.with(args, more));
    }

    private void refused(int code, String part, String... more) {
        TableTest.Result r = table(more);
        assertEquals(code, r.code(), r.err());
        assertTrue(r.err().contains(part), r.err());
    }

    private static String bash(String... command) throws Exception {
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return p.waitFor() + ": " + said;
    }

    @Test
    void slurmGetsAnArrayWithATaskForEachRun() throws Exception {
        TableTest.Result r = table(
                "--slurm",
                "--seeds=4,2",
                "--subjects=1-2,5",
                "--cpus-per-task=3",
                "--mem=8G",
                "--time=1-12:00:00",
                "--partition=long",
                "--limit=7",
                "--sbatch=--account=lab",
                "--set=train.init=it's here");
        assertEquals(0, r.code(), r.err());
        Path rows = dir.resolve("a b's/slurm/rows.sbatch"), table = rows.resolveSibling("table.sbatch");
        String typed = "'" + dir + "/a b'\\''s/slurm/";
        assertEquals(
                "sbatch --dependency=afterany:$(sbatch --parsable " + typed + "rows.sbatch') " + typed
                        + "table.sbatch'",
                r.out().strip());
        String script = Files.readString(rows);
        // Two baselines and two recipes, each for two seeds and three subjects.
        for (String option : new String[] {
            "array=0-23%7",
            "cpus-per-task=3",
            "mem=8G",
            "time=1-12:00:00",
            "partition=long",
            "account=lab",
            "signal=B:TERM@60",
            "output=\"" + dir + "/a b's/slurm/rows-%A_%a.txt\""
        }) assertTrue(script.contains("\n#SBATCH --" + option + "\n"), option + " in\n" + script);
        assertFalse(script.contains("--gpus") || script.contains("'--compare"), script);
        assertTrue(Files.readString(table).contains("--assemble\n"));
        assertEquals("0: ", bash("bash", "-n", rows.toString()));
        assertEquals("0: ", bash("bash", "-n", table.toString()));
        // A task says which run it is, and passes on the options: the data are missing.
        String said = bash("env", "SLURM_ARRAY_TASK_ID=13", "SLURM_CPUS_PER_TASK=2", "bash", rows.toString());
        assertTrue(
                said.matches("(?s)1: quickstart-subj01-seed4 on \\S+, threads: 2\n.*"
                        + "cortigan: \\S*/no data: no such folder\\. .*"),
                said);
        assertTrue(bash("bash", rows.toString()).contains("SLURM_ARRAY_TASK_ID: unbound variable"));
    }

    @Test
    void aTaskOfSlurmUsesACardIfItHasOne() throws Exception {
        assertEquals(0, table("--slurm", "--gpus=a100:1").code());
        String script = Files.readString(dir.resolve("a b's/slurm/rows.sbatch"));
        assertTrue(script.contains("\n#SBATCH --gpus=a100:1\n") && script.contains(" --device=cuda "), script);
        assertFalse(Files.readString(dir.resolve("a b's/slurm/table.sbatch")).contains("#SBATCH --gpus"));
        refused(1, "--gpus 2: is not one card", "--slurm", "--gpus=2");
        refused(1, "--device cuda: is not the device of jobs without --gpus", "--slurm", "--device=cuda");
        refused(1, "--device cpu: is not the device of jobs with --gpus", "--slurm", "--gpus=1", "--device=cpu");
    }

    @Test
    void wrongOptionsAreRefused() {
        refused(1, "--parallel 0: is below 1", "--parallel=0", "--device=cpu");
        refused(1, "--threads -1: is negative", "--parallel=2", "--device=cpu", "--threads=-1");
        refused(1, "--only ridge: is no run of this table. Use one of strongest-ridge-subj01", "--only=ridge");
        refused(1, "a b's: has no runs yet", "--assemble");
        refused(2, "--slurm", "--time=10");
        refused(2, "mutually exclusive", "--parallel=2", "--slurm");
        refused(1, "--time '1 2': has a character", "--slurm", "--time=1 2");
        refused(1, "--cpus-per-task 2: differs from --threads 3", "--slurm", "--cpus-per-task=2", "--threads=3");
        for (String wrong : new String[] {"8-1", "x", "0", "1-", "-2", "1-99999"})
            refused(1, "'" + wrong + "' is neither a number nor a range", "--subjects=" + wrong, "--slurm");
    }

    @Test
    void subjectsMayBeRanges() {
        assertEquals(List.of(5, 1, 2, 3), Table.numbers("--subjects", List.of("5", "1-3")));
    }
}
