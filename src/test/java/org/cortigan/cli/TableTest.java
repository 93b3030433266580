// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.experiment.Comparison;
import org.cortigan.io.FolderLock;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/**
 * Runs the command table on a small simulated subject: with a failing row, an interruption, a resumption, and options
 * that are refused.
 */
@Tag("slow")
class TableTest {
    @TempDir
    Path dir;

    record Result(int code, String out, String err) {}

    static Result run(List<String> args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int code = c.execute(args.toArray(new String[0]));
        return new Result(code, out.toString(), err.toString());
    }

    static List<String> with(List<String> args, String... more) {
        List<String> all = new ArrayList<>(args);
        all.addAll(List.of(more));
        return all;
    }

    private static void refused(List<String> args, String... names) {
        Result r = run(args);
        assertEquals(1, r.code, r.out + r.err);
        String last = r.err.strip().lines().reduce((a, b) -> b).orElse("");
        for (String n : names) assertTrue(last.contains(n), last);
    }

    private static double meanR(Path runs, String run) {
        return ((Number) Json.readObject(runs.resolve(run).resolve("result.json"))
                        .get("mean_r"))
                .doubleValue();
    }

    @Test
    void aTableIsFilledRowByRow() throws Exception {
        Path data = dir.resolve("data"), out = dir.resolve("out"), runs = out.resolve("runs");
        SmallSubject.write(data, 48, 8);
        String generator =
                "model: {generator: {type: cnn, image: 64, cnn: {channels: [16, 32], hidden: 16}}, discriminator: {mlp: {hidden: [8]}}}\n";
        Files.writeString(
                dir.resolve("with.yaml"), generator + "loss: {gan_weight: 0.01}\ntrain: {epochs: 8, batch: 16}\n");
        Files.writeString(
                dir.resolve("plain.yaml"),
                generator + "loss: {gan_weight: 0, pixel: mse}\ntrain: {epochs: 2, batch: 16}\n");
        // The trainer refuses this, not the recipe's parser.
        Files.writeString(
                dir.resolve("unfit.yaml"), generator + "train: {epochs: 1, batch: 16, initial_readout: fitted}\n");
        List<String> two = List.of(
                "table",
                "-o",
                out.toString(),
                "--data",
                data.toString(),
                "--seeds",
                "0,1",
                "--threads",
                "1",
                "--recipes");
        List<String> command = with(
                two,
                dir + "/with.yaml," + dir + "/plain.yaml," + dir + "/unfit.yaml",
                "--ablation",
                "--compare",
                "with=plain");

        // interrupt the first run
        String text = CommandsTest.terminated(command);
        assertTrue(text.contains("repeat the command to continue"), text);
        assertTrue(Files.readString(out.resolve("table.md")).contains("seed 0: not run yet; seed 1: not run yet"));
        assertTrue(Files.exists(runs.resolve("strongest-ridge-subj01-seed0/result.json")));
        assertFalse(Files.exists(runs.resolve("with-subj01-seed0/result.json")));

        // resume, past the row that fails
        Result r = run(command);
        assertEquals(1, r.code, r.err);
        assertTrue(r.err.contains("with-subj01-seed0: resumed at step"), r.err);
        assertTrue(
                r.err.contains("unfit-subj01-seed1 failed: ") && r.err.contains("fitted needs a dense readout"), r.err);
        String md = Files.readString(out.resolve("table.md")),
                csv = Files.readString(out.resolve("table.csv")),
                html = Files.readString(out.resolve("table.html"));
        assertTrue(r.out.contains(md.strip()), r.out);
        String row =
                md.lines().filter(l -> l.startsWith("| with |")).findFirst().orElseThrow();
        for (String cell : new String[] {
            "shallow CNN",
            "correlation + L1 + GAN",
            "| 8 |",
            "| no |",
            "2 MLP, per hemisphere, spectral norm",
            "test, 8 images",
            "0, 1",
            " s |"
        }) assertTrue(row.contains(cell), row);
        double mean = (meanR(runs, "with-subj01-seed0") + meanR(runs, "with-subj01-seed1")) / 2;
        assertTrue(row.contains(String.format(Locale.ROOT, "| %.4f | [", mean)), row);
        assertTrue(
                md.contains("| with without GAN |")
                        && md.contains("correlation + MSE | 2 |")
                        && !md.contains("plain without GAN"),
                md);
        assertTrue(md.contains("| strongest ridge |") && md.contains("| ridge on pixels |"), md);
        assertTrue(md.contains("| ridge: pixels, one lambda by GCV |"), md);
        assertTrue(md.contains("seed 0: failed: ") && md.contains("| with minus with without GAN | 1 | 2 |"), md);
        double difference = mean - (meanR(runs, "plain-subj01-seed0") + meanR(runs, "plain-subj01-seed1")) / 2;
        assertTrue(md.contains(String.format(Locale.ROOT, "| with minus plain | 1 | 2 | %+.4f |", difference)), md);
        // one line each for the head; with, its twin without GAN, plain; unfit and its twin; two ridges; three
        // differences
        assertEquals(1 + 3 + 2 + 2 + 3, csv.lines().count(), csv);
        assertTrue(html.contains("prefers-color-scheme") && html.contains("<svg") && !html.contains("http"), html);

        // run again: finished runs stay
        Path last = runs.resolve("with-subj01-seed1/last.safetensors");
        FileTime before = Files.getLastModifiedTime(last);
        r = run(command);
        assertEquals(1, r.code);
        assertFalse(r.err.contains("epoch"), r.err);
        assertEquals(before, Files.getLastModifiedTime(last));
        assertEquals(md, Files.readString(out.resolve("table.md")));
        r = run(with(two, dir + "/plain.yaml"));
        assertEquals(0, r.code, r.err);

        refused(with(command, "--set", "train.weight=1"), "train.weight");
        try (FolderLock other = FolderLock.take(out, Comparison.class, line -> {})) {
            refused(command, out + ": is in use by this process");
        }
        refused(with(command, "--set", "train.epochs=3"), "with-subj01-seed0", "recipe.yaml", "differs from recipe");
        refused(with(two, dir + "/plain.yaml", "--compare", "plain=fancy"), "plain=fancy", "A=B");
        refused(with(two, dir + "/plain.yaml," + dir + "/plain.yaml"), "two recipes 'plain'");
        refused(
                with(two, dir + "/plain.yaml", "--noise-ceiling-unit", "percent"),
                "noise_ceiling.npy",
                "probably fractions");

        // without test responses, the last checkpoint is evaluated on the validation split
        Path held = data.resolve("subj01_held_out");
        Files.move(held, dir.resolve("away"));
        refused(with(two, dir + "/plain.yaml"), "subj01.json, evaluated_on", "'test'", "'validation'");
        List<String> other = new ArrayList<>(with(two, dir + "/plain.yaml"));
        other.set(2, dir.resolve("validated").toString());
        r = run(other);
        assertEquals(0, r.code, r.err);
        assertTrue(r.out.contains("validation, 5 images"), r.out);
        assertTrue(Files.exists(dir.resolve("validated/runs/strongest-ridge-subj01-seed1/result.json")));
    }
}
