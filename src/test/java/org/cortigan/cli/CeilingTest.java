// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class CeilingTest {
    @TempDir
    Path dir;

    private String run(int code, Object... args) {
        StringWriter text = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(text)).setErr(new PrintWriter(text));
        String[] a = new String[args.length + 3];
        a[0] = "ceiling";
        a[1] = "--out";
        a[2] = dir.resolve("out").toString();
        for (int i = 0; i < args.length; i++) a[i + 3] = args[i].toString();
        assertEquals(code, c.execute(a), text.toString());
        return text.toString();
    }

    private void refused(String part, Object... args) {
        String text = run(1, args);
        assertTrue(text.contains(part) && !text.contains("\tat "), text);
        assertFalse(Files.exists(dir.resolve("out")), "nothing is written");
    }

    private Path file(String name, float[] values, long... shape) {
        NpyWriter.save(dir.resolve(name), values, shape);
        return dir.resolve(name);
    }

    private float[] written(String hemisphere) {
        try (NpyFile f = NpyFile.open(dir.resolve("out").resolve(hemisphere + "_noise_ceiling.npy"))) {
            return f.toFloatArray();
        }
    }

    // Vertex 0 of image 0 has trials 1 and 3, of image 1 9 and 7; vertex 1 is constant.
    private static final float[] FIRST = {1, 5, 9, 5}, SECOND = {3, 5, 7, 5}, BOTH = {1, 5, 9, 5, 3, 5, 7, 5};

    @Test
    void theSameTrialTwiceIsRefused() throws IOException {
        Path t = file("t.npy", FIRST, 2, 2);
        refused("t.npy: is given twice", "--lh", t + "," + t, "--rh", t + "," + t);
        Path link = Files.createSymbolicLink(dir.resolve("link.npy"), t);
        refused("link.npy: is given twice", "--lh", t + "," + link, "--rh", t + "," + link);
        Path copy = file("copy.npy", FIRST, 2, 2), other = file("other.npy", SECOND, 2, 2);
        String three = t + "," + other + "," + copy;
        refused("copy.npy: has the same responses as " + t, "--lh", three, "--rh", three);
        Path both = file("both.npy", new float[] {1, 5, 9, 5, 1, 5, 9, 5}, 2, 2, 2);
        refused("both.npy: its trials 0 and 1 (counted from 0) are the same", "--lh", both, "--rh", both);
    }

    @Test
    void hemispheresOfOtherNumbersOfTrialsNeedTheNumber() {
        Path two = file("two.npy", BOTH, 2, 2, 2);
        Path three = file("three.npy", new float[] {1, 5, 9, 5, 3, 5, 7, 5, 2, 5, 8, 6}, 3, 2, 2);
        refused(
                "has 3 trials of the left hemisphere and 2 of the right. Say with --trials N",
                "--lh",
                three,
                "--rh",
                two);
        run(0, "--lh", three, "--rh", two, "--trials", 3);
    }

    @Test
    void trialsMayLieInOneFileOrInOneEach() {
        Path both = file("both.npy", BOTH, 2, 2, 2);
        String trials = file("t1.npy", FIRST, 2, 2) + "," + file("t2.npy", SECOND, 2, 2);
        String text = run(0, "--lh", both, "--rh", trials);
        assertTrue(text.contains("lh: 2 vertices, 0 unknown") && text.contains("rh: 2 vertices"), text);
        // Noise variance 2, means 2 and 8: variance 18, of which 1 is noise.
        assertArrayEquals(new float[] {17f / 18, 0}, written("lh"), 1e-6f);
        assertArrayEquals(written("lh"), written("rh"));
        run(0, "--lh", both, "--rh", both, "--trials", 1);
        assertArrayEquals(new float[] {17f / 19, 0}, written("rh"), 1e-6f);
    }

    @Test
    void ncsnrNeedsTheNumberOfTrials() {
        Path n = file("ncsnr.npy", new float[] {0, 1, Float.NaN}, 3);
        refused("--seen", "--ncsnr", "--lh", n, "--rh", n);
        refused("Give one of them", "--ncsnr", "--lh", n, "--rh", n, "--trials", 3, "--seen", "1,1,1");
        refused("three numbers", "--ncsnr", "--lh", n, "--rh", n, "--seen", "1,1");
        refused("three numbers", "--ncsnr", "--lh", n, "--rh", n, "--seen", "0,0,0");
        refused("not a number of trials", "--ncsnr", "--lh", n, "--rh", n, "--trials", 0);
        refused("Add --ncsnr", "--lh", n, "--rh", n);
        String text = run(0, "--ncsnr", "--lh", n, "--rh", n, "--seen", "2,0,2");
        assertTrue(text.contains("1 unknown"), text);
        assertArrayEquals(new float[] {0, 0.6f, Float.NaN}, written("lh"), 1e-6f); // 1 / (1 + (2/3 + 2) / 4)
    }

    @Test
    void filesThatAreNoTrialsAreRefused() {
        Path both = file("both.npy", BOTH, 2, 2, 2), one = file("one.npy", FIRST, 2, 2);
        refused("ncsnr is one value for each vertex", "--ncsnr", "--trials", 3, "--lh", one, "--rh", one);
        refused("3 axes", "--lh", one, "--rh", one);
        refused("same images and vertices", "--lh", one + "," + file("other.npy", BOTH, 2, 4), "--rh", one);
        refused("at least 2 trials", "--lh", file("single.npy", FIRST, 1, 2, 2), "--rh", both);
        float nan = Float.NaN;
        refused(
                "lack a trial",
                "--lh",
                file("nan.npy", new float[] {nan, nan, 1, 2, 1, 2, 3, 4}, 2, 2, 2),
                "--rh",
                both);
        refused("absent.npy", "--lh", both, "--rh", dir.resolve("absent.npy"));
    }
}
