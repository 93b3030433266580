// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.FsaverageVertices;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.GiftiFile;
import org.cortigan.io.MghFile;
import org.cortigan.io.NpyWriter;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Maps of a small simulated subject of 400 + 420 vertices, and of values of fsaverage5. */
class MapCommandTest {
    @TempDir
    static Path subject;

    @TempDir
    Path dir;

    private record Result(int code, String out, String err) {}

    private static Result run(Object... args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int code = c.execute(Arrays.stream(args).map(Object::toString).toArray(String[]::new));
        return new Result(code, out.toString(), err.toString());
    }

    private static String ok(Object... args) {
        Result r = run(args);
        assertEquals(0, r.code, r.err);
        return r.out;
    }

    private static void refused(String[] parts, Object... args) {
        Result r = run(args);
        assertEquals(1, r.code, r.out + r.err);
        String last = r.err.strip().lines().reduce((a, b) -> b).orElse("");
        for (String p : parts) assertTrue(last.contains(p), last);
        assertFalse(r.err.contains("\tat "), r.err);
    }

    private static String[] parts(String... parts) {
        return parts;
    }

    @BeforeAll
    static void simulate() {
        SmallSubject.write(subject, 8, 3);
    }

    private Path save(String name, float... values) {
        Path file = dir.resolve(name);
        NpyWriter.save(file, values, values.length);
        return file;
    }

    private static float[] ramp(int n) {
        float[] values = new float[n];
        for (int v = 0; v < n; v++) values[v] = v / (float) n;
        return values;
    }

    private Path left;

    @BeforeEach
    void files() {
        left = save("lh_correlation.npy", ramp(400));
        save("rh_correlation.npy", ramp(420));
    }

    @Test
    void theOtherHemisphereIsFoundAndBothInOneFileAreTheSame() throws Exception {
        Path png = dir.resolve("x.png"), both = dir.resolve("both.png");
        String out = ok("map", left, "--data", subject, "--out", png, "--width", 400, "--label", "r", "--rois", "V1v");
        assertTrue(out.contains(" of 820 vertices: the surfaces have 10,242 of the 163,842 vertices"), out);
        assertEquals(
                400,
                ImageIO.read(new ByteArrayInputStream(Files.readAllBytes(png))).getWidth());
        float[] all = Arrays.copyOf(ramp(400), 820);
        System.arraycopy(ramp(420), 0, all, 400, 420);
        Path one = save("all.npy", all);
        ok("map", one, "--data", subject, "--out", both, "--width", 400, "--label", "r", "--rois", "V1v");
        assertArrayEquals(Files.readAllBytes(png), Files.readAllBytes(both));
    }

    @Test
    void surfaceFilesHaveAllVerticesOfFsaverage() throws Exception {
        float[] values = ramp(400);
        values[7] = Float.NaN;
        save("lh_correlation.npy", values);
        int[][] where;
        try (AlgonautsSubject s = AlgonautsSubject.open(subject, 1)) {
            where = FsaverageVertices.of(s);
        }
        for (String name : new String[] {"x.func.gii", "lh.x.mgh", "x.mgz"}) {
            String out = ok("map", left, "--data", subject, "--out", dir.resolve(name));
            Path lh = dir.resolve("lh." + name.replace("lh.", "")), rh = dir.resolve("rh." + name.replace("lh.", ""));
            assertTrue(out.contains(lh.toString()) && out.contains(rh.toString()), out);
            float[] read = values(lh);
            assertEquals(163_842, read.length);
            for (int i = 0; i < 400; i++) assertEquals(values[i], read[where[0][i]], 0, name);
            assertEquals(
                    399,
                    IntStream.range(0, read.length)
                            .filter(v -> !Float.isNaN(read[v]))
                            .count());
            assertEquals(ramp(420)[419], values(rh)[where[1][419]], 0);
        }
        ok("map", left, "--data", subject, "--out", dir.resolve("zero.mgh"), "--fill", "0");
        assertEquals(0, values(dir.resolve("lh.zero.mgh"))[where[0][7]], 0);
        // A map of what map wrote.
        String out = ok("map", dir.resolve("lh.x.func.gii"), "--out", dir.resolve("again.svg"), "--surface", "flat");
        assertTrue(out.contains("of 327,684 vertices"), out);
    }

    private static float[] values(Path file) throws Exception {
        if (file.toString().endsWith(".gii")) return GiftiFile.values(file, Files.readAllBytes(file))[0];
        double[] d = MghFile.readValues(file);
        float[] f = new float[d.length];
        for (int i = 0; i < f.length; i++) f[i] = (float) d[i];
        return f;
    }

    @Test
    void valuesOfFsaverage5NeedNoSubject() throws Exception {
        Path file = save("right_x.npy", ramp(10_242));
        Result r = run(
                "map",
                file,
                "--out",
                dir.resolve("x.png"),
                "--width",
                400,
                "--surface",
                "pial",
                "--views",
                "lateral,ventral");
        assertEquals(0, r.code, r.err);
        assertTrue(r.out.contains("shows all 10,242 vertices"), r.out);
        assertTrue(r.err.contains("no file of the left hemisphere"), r.err);
        ok("map", file, "--out", dir.resolve("small.mgz"));
        assertEquals(10_242, values(dir.resolve("rh.small.mgz")).length);
        assertFalse(Files.exists(dir.resolve("lh.small.mgz")));
    }

    @Test
    void rowsAreChosen() {
        Path file = dir.resolve("lh_rows.npy");
        float[] two = Arrays.copyOf(ramp(10_242), 2 * 10_242);
        NpyWriter.save(file, two, 2, 10_242);
        Path png = dir.resolve("x.png");
        refused(parts("lh_rows.npy", "[2, 10242]", "--row"), "map", file, "--out", png);
        refused(parts("--row 2", "0 to 1"), "map", file, "--out", png, "--row", 2);
        refused(parts("--row 1", "Leave --row out"), "map", left, "--data", subject, "--out", png, "--row", 1);
        ok("map", file, "--out", png, "--row", 1, "--width", 300);
    }

    @Test
    void wrongInputIsNamed() {
        Path png = dir.resolve("x.png");
        refused(parts("lh_correlation.npy", "400 values", "--data"), "map", left, "--out", png);
        refused(
                parts("lh_bad.npy", "399 values", "400 left"),
                "map",
                save("lh_bad.npy", ramp(399)),
                "--data",
                subject,
                "--out",
                png);
        refused(
                parts("one.npy", "does not say which"),
                "map",
                save("one.npy", ramp(400)),
                "--data",
                subject,
                "--out",
                png);
        refused(
                parts("rh_five.npy", "another space"),
                "map",
                left,
                save("rh_five.npy", ramp(10_242)),
                "--data",
                subject,
                "--out",
                png);
        refused(parts("same hemisphere"), "map", left, save("lh_two.npy", ramp(400)), "--out", png);
        refused(parts("lh_none.npy", "no such file"), "map", dir.resolve("lh_none.npy"), "--out", png);
        refused(parts("--out", ".func.gii"), "map", left, "--out", dir.resolve("x.jpg"));
        refused(parts("V9", "V1v"), "map", left, "--data", subject, "--out", png, "--rois", "V9");
        refused(parts("--rois", "--data"), "map", left, "--out", png, "--rois", "V1v");
        refused(parts("--width 5"), "map", left, "--out", png, "--width", 5);
        refused(parts("scale from 2.0 to 1.0"), "map", left, "--data", subject, "--out", png, "--min", 2, "--max", 1);
        Path mesh = dir.resolve("mesh");
        refused(parts("mesh"), "map", left, "--data", subject, "--out", png, "--mesh", mesh);
        refused(parts("lh_six.npy", "--mesh"), "map", save("lh_six.npy", ramp(2562)), "--out", png);
        assertFalse(Files.exists(png));
    }
}
