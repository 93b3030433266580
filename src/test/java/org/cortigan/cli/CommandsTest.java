// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.io.FolderLock;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.SafeTensors;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.train.RunFolder;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Runs the commands from end to end on a small simulated subject with all vertices. */
@Tag("slow")
class CommandsTest {
    @TempDir
    static Path dir;

    private record Result(int code, String out, String err) {}

    private static Result run(Object... args) {
        StringWriter out = new StringWriter(), err = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        String[] a = new String[args.length];
        for (int i = 0; i < a.length; i++) a[i] = args[i].toString();
        int code = c.execute(a);
        return new Result(code, out.toString(), err.toString());
    }

    private static Result ok(Object... args) {
        Result r = run(args);
        assertEquals(0, r.code, r.err);
        return r;
    }

    private static Object[] with(Object[] args, Object... more) {
        return Stream.concat(Arrays.stream(args), Arrays.stream(more)).toArray();
    }

    /** Asserts exit code 1, no stack trace, and a last line that contains all names. */
    private static void refused(String[] names, Object... args) {
        Result r = run(args);
        assertEquals(1, r.code, r.out + r.err);
        String last = r.err.strip().lines().reduce((a, b) -> b).orElse("");
        assertFalse(r.err.contains("\tat "), r.err);
        for (String n : names) assertTrue(last.contains(n), last);
    }

    /** Runs a command in a separate JVM, ends it with SIGTERM in its second epoch and returns its output. */
    static String terminated(List<String> command) throws Exception {
        List<String> process = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "org.cortigan.cli.Main"));
        process.addAll(command);
        Process p = new ProcessBuilder(process).redirectErrorStream(true).start();
        StringBuilder text = new StringBuilder();
        var in = p.inputReader();
        for (String line; !text.toString().contains("epoch 2/") && (line = in.readLine()) != null; )
            text.append(line).append('\n');
        p.toHandle().destroy(); // Process.destroy would close its output too
        in.lines().forEach(l -> text.append(l).append('\n'));
        assertEquals(143, p.waitFor(), text.toString());
        return text.toString();
    }

    private static Path data;
    private static Path run;

    @BeforeAll
    static void simulateAndTrain() {
        data = dir.resolve("data");
        run = dir.resolve("run");
        ok("simulate", "--out", data, "--images", 48, "--test-images", 8, "--image-size", 64);
        Result r = ok(
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--run",
                run,
                "-o",
                "train.epochs=2",
                "-o",
                "train.batch=16",
                "--json");
        Map<String, Object> first =
                Json.object(Json.parse(r.out.lines().findFirst().orElseThrow(), "out"), "out");
        assertEquals(1L, ((Number) first.get("epoch")).longValue());
    }

    @Test
    void theRunFolderHasItsFiles() throws Exception {
        for (String f :
                new String[] {"recipe.yaml", "environment.json", "metrics.csv", "last.safetensors", "best.safetensors"})
            assertTrue(Files.size(run.resolve(f)) > 0, f);
        assertEquals(3, Files.readAllLines(run.resolve("metrics.csv")).size());
        try (var s = Files.list(run)) {
            assertTrue(s.anyMatch(p -> p.getFileName().toString().startsWith("events.out.tfevents.")));
        }
    }

    @Test
    void evaluateWritesEveryMetric() {
        Path out = dir.resolve("evaluation");
        Result r = ok("evaluate", run, "--data", data, "--out", out);
        assertTrue(r.out.contains("all vertices") && r.out.contains("bound of r") && r.out.contains("V1v"), r.out);
        for (String h : new String[] {"lh", "rh"})
            try (NpyFile f = NpyFile.open(out.resolve(h + "_correlation.npy"))) {
                assertEquals(h.equals("lh") ? 19004 : 20544, f.rows());
            }
        assertTrue(Files.exists(out.resolve("roi.csv")) && Files.exists(out.resolve("metrics.json")));
        Map<String, Object> j = Json.object(
                Json.parse(
                        ok(
                                        "evaluate",
                                        run,
                                        "--data",
                                        data,
                                        "--split",
                                        "validation",
                                        "--json",
                                        "--out",
                                        dir.resolve("e2"))
                                .out,
                        "out"),
                "out");
        assertEquals(5L, ((Number) j.get("images")).longValue());
    }

    @Test
    void evaluateTestsSignificanceOnRequest() {
        Path out = dir.resolve("significance");
        Result r = ok("evaluate", run, "--data", data, "--out", out, "--permutations", 20);
        assertTrue(r.out.contains("q < 0.05") && r.out.contains("20 permutations"), r.out);
        for (String name : new String[] {"lh_p", "rh_p", "lh_q", "rh_q", "lh_explained_variance", "rh_r2"})
            try (NpyFile f = NpyFile.open(out.resolve(name + ".npy"))) {
                assertEquals(name.startsWith("lh") ? 19004 : 20544, f.rows());
            }
        try (NpyFile p = NpyFile.open(out.resolve("lh_p.npy"))) {
            for (float x : p.toFloatArray()) assertTrue(x >= 1f / 21 && x <= 1, "p " + x);
        }
        refused(new String[] {"--permutations -1", "negative"}, "evaluate", run, "--data", data, "--permutations", -1);
    }

    @Test
    void predictAndSubmit() throws Exception {
        Path photos = dir.resolve("photos"), out = dir.resolve("predictions"), test = dir.resolve("test");
        BundledPhotos.extract(photos);
        // a photograph on its side, as EXIF says, and guests in the folder
        byte[] rocket = Files.readAllBytes(photos.resolve("rocket.jpg"));
        byte[] exif = HexFormat.of()
                .parseHex("ffe10022" + "457869660000" + "4d4d002a00000008" + "0001" + "011200030000000100060000"
                        + "00000000");
        ByteBuffer side = ByteBuffer.allocate(rocket.length + exif.length);
        side.put(rocket, 0, 2).put(exif).put(rocket, 2, rocket.length - 2);
        Files.write(photos.resolve("side.jpg"), side.array());
        Files.writeString(photos.resolve("._side.jpg"), "AppleDouble");
        Files.writeString(photos.resolve("b.webp"), "RIFF");
        Result r = ok("predict", run, "--images", photos, "--out", out, "--batch", 3);
        assertTrue(r.err.contains("1 file is no PNG or JPEG and left out: b.webp"), r.err);
        assertTrue(r.err.contains("1 photograph was turned upright, as EXIF or XMP says: side.jpg"), r.err);
        assertEquals(
                "astronaut.png chelsea.png coffee.png rocket.jpg side.jpg",
                String.join(" ", Files.readAllLines(out.resolve("images.txt"))));
        float[] p = predictions(out);
        assertNotEquals(p[3 * 19004], p[4 * 19004]); // the same picture, turned
        ok("predict", run, "--data", data, "--out", test);
        try (NpyFile a = NpyFile.open(out.resolve("lh_pred_test.npy"));
                NpyFile b = NpyFile.open(test.resolve("rh_pred_test.npy"))) {
            assertEquals(
                    "[5, 19004][8, 20544]",
                    java.util.Arrays.toString(a.shape()) + java.util.Arrays.toString(b.shape()));
            a.checkFinite("predictions", "Repair it");
        }
        assertEquals("subj01", Json.readObject(test.resolve("predictions.json")).get("subject"));
        refused(
                new String[] {"best.safetensors", "was trained on 'subj01', not on 'subj02'", "--other-subject"},
                "predict",
                run,
                "--images",
                photos,
                "--subject",
                2,
                "--out",
                dir.resolve("two-of-one"));
        Path few = dir.resolve("few");
        SmallSubject.write(few, 4, 2);
        refused(
                new String[] {
                    "is for 19004 + 20544 vertices, but ", "few/subj01 is 400 + 420 vertices", "--other-subject"
                },
                "predict",
                run,
                "--data",
                few,
                "--out",
                dir.resolve("of-few"));
        assertFalse(Files.exists(dir.resolve("of-few")));
        ok("predict", run, "--data", few, "--other-subject", "--out", out);
        ok("predict", run, "--images", photos, "--subject", 2, "--other-subject", "--out", out);
        assertEquals("subj01", Json.readObject(out.resolve("predictions.json")).get("subject"));
        refused(
                new String[] {"predictions.json", "are of 'subj01', not of 'subj02'"},
                "submit",
                "2=" + test,
                "--out",
                dir.resolve("s.zip"));
        refused(
                new String[] {"lh_pred_test.npy", "[8, 19004]", "[159, 19004]"},
                "submit",
                "1=" + test,
                "--out",
                dir.resolve("s.zip"));
        refused(
                new String[] {"'': is no name of a file or folder"},
                "submit",
                "1=" + test + ",," + test,
                "--out",
                dir.resolve("s.zip"));
        refused(new String[] {"best.safetensors: is given twice"}, "predict", run, run, "--data", data, "--out", test);
        refused(
                new String[] {"is one of the checkpoints that are averaged"},
                "average",
                run,
                RunFolder.last(run),
                "--out",
                RunFolder.last(run));
        refused(new String[] {"'': is no name of a file or folder"}, "evaluate", "", "--data", data);
        refused(new String[] {"a: is no folder"}, "submit", "1=a", "--out", dir.resolve("s.zip"));
        refused(
                new String[] {"subject 1 is given twice", "1=DIR,DIR"},
                "submit",
                "1=" + test,
                "01=" + test,
                "--out",
                dir.resolve("s.zip"));
        assertFalse(Files.exists(dir.resolve("s.zip")));
    }

    /** A photograph that cannot be read leaves the files of an earlier call. */
    @Test
    void aPredictionThatFailsKeepsTheFilesOfTheLast() throws Exception {
        Path photographs = Files.createDirectory(dir.resolve("photographs")), out = dir.resolve("kept");
        BundledPhotos.extract(photographs);
        ok("predict", run, "--images", photographs, "--out", out);
        Map<String, byte[]> before = contents(out);
        Files.writeString(photographs.resolve("z.png"), "no picture");
        refused(new String[] {"z.png"}, "predict", run, "--images", photographs, "--out", out);
        Map<String, byte[]> after = contents(out);
        assertEquals(before.keySet(), after.keySet());
        before.forEach((name, bytes) -> assertArrayEquals(bytes, after.get(name), name));
    }

    private static Map<String, byte[]> contents(Path folder) throws Exception {
        Map<String, byte[]> all = new TreeMap<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path f : files.toList()) all.put(f.getFileName().toString(), Files.readAllBytes(f));
        }
        return all;
    }

    private static float[] predictions(Path folder) {
        try (NpyFile f = NpyFile.open(folder.resolve("lh_pred_test.npy"))) {
            return f.toFloatArray();
        }
    }

    @Test
    void averagesAndEnsemblesPredictTheMean() {
        Path seed1 = dir.resolve("seed1"), small = dir.resolve("small"), soup = dir.resolve("soup.safetensors");
        Path[] p = new Path[4];
        for (int i = 0; i < p.length; i++) p[i] = dir.resolve("ensemble" + i);
        ok(
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--run",
                seed1,
                "--seed",
                1,
                "-o",
                "train.epochs=1",
                "-o",
                "train.batch=16");
        ok(
                "train",
                "-c",
                "vanilla-gan",
                "--data",
                data,
                "--run",
                small,
                "-o",
                "train.batch=4",
                "--fast-dev-run",
                "-o",
                "model.generator.image=32",
                "-o",
                "model.generator.cnn.channels=[8, 8]");
        Path last = run.resolve("last.safetensors");
        ok("average", last, seed1, last, seed1, "-o", soup);
        try (SafeTensors a = SafeTensors.open(last);
                SafeTensors b = SafeTensors.open(seed1.resolve("best.safetensors"));
                SafeTensors m = SafeTensors.open(soup)) {
            for (String n : m.names()) {
                float[] x = a.floats(n), y = b.floats(n), mean = m.floats(n);
                for (int i = 0; i < mean.length; i++) assertEquals((float) (((double) x[i] + y[i]) / 2), mean[i], n);
            }
            assertTrue(m.names().contains("generator.head.weight")
                    && m.names().stream().allMatch(n -> n.startsWith("generator.")));
        }
        assertTrue(ok("evaluate", soup, "--data", data, "--out", p[0]).out.contains("all vertices"));
        ok("predict", soup, "--data", data, "--out", p[0]);
        refused(
                new String[] {"soup.safetensors", "held out different images"},
                "evaluate",
                soup,
                "--data",
                data,
                "--split",
                "validation");
        refused(
                new String[] {"soup.safetensors", "cannot be resumed"},
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--run",
                dir.resolve("y"),
                "-o",
                "train.batch=16",
                "--resume",
                soup);
        refused(
                new String[] {"small/", "cannot be averaged", "its generator is"},
                "average",
                run,
                small,
                "-o",
                dir.resolve("n.safetensors"));
        refused(new String[] {"soup.npy", ".safetensors"}, "average", run, seed1, "-o", dir.resolve("soup.npy"));
        // an average of checkpoints of one run keeps its validation split
        ok("average", run, last, "-o", dir.resolve("one.safetensors"));
        ok("evaluate", dir.resolve("one.safetensors"), last, "--data", data, "--split", "validation", "--out", p[0]);

        // models with photographs of different sizes
        ok("predict", run, "--data", data, "--out", p[1]);
        ok("predict", small, "--data", data, "--out", p[2]);
        ok("predict", run, small, "--data", data, "--out", p[3], "--batch", 3);
        float[] a = predictions(p[1]), b = predictions(p[2]), mean = predictions(p[3]);
        for (int i = 0; i < mean.length; i++) assertEquals((a[i] + b[i]) / 2, mean[i], 1e-5);
        Result r = ok("evaluate", run, small, "--data", data, "--out", p[3]);
        assertTrue(r.out.contains("mean of 2 models' predictions"), r.out);
        refused(new String[] {"Name one with --out"}, "evaluate", run, small, "--data", data);
        refused(
                new String[] {"seed1/", "held out other images"},
                "evaluate",
                run,
                seed1,
                "--data",
                data,
                "--split",
                "validation",
                "--out",
                p[3]);
    }

    @Test
    void diffusionModelsSayHowTheyPredict() {
        Path sd = dir.resolve("sd"), out = dir.resolve("sd-out"), samples = dir.resolve("samples.npy");
        Object[] train = {"train", "-c", "sd-finetune-tiny", "--data", data, "--run", sd};
        String small = "model.generator.sd_unet.channels=[8, 16]";
        Result trained = ok(with(
                train,
                "-o",
                "train.epochs=1",
                "-o",
                "train.batch=16",
                "-o",
                "model.generator.diffusion.grid=8",
                "-o",
                small,
                "-o",
                "model.generator.sd_unet.groups=4"));
        String mean = "conditional mean (1 evaluation at t 999), v, zero terminal SNR";
        assertTrue(trained.err.contains(mean), trained.err);
        Object[] evaluate = {"evaluate", sd, "--data", data, "--out", out};
        String table = ok(with(evaluate, "--steps", 2, "--samples", "1,2")).out;
        String pair = "mean of 2 antithetic samples, 2 DDIM steps, v, zero terminal SNR";
        assertTrue(table.contains("prediction: " + pair) && table.contains("mean r of samples: one sample "), table);
        assertTrue(table.contains("CRPS skill: unknown, because antithetic"), table);
        String independent = ok(with(evaluate, "--steps", 2, "--independent")).out;
        assertTrue(independent.contains("prediction: mean of 2 samples, 2 DDIM steps"), independent);
        assertTrue(independent.contains(" CRPS skill\n"), independent);
        List<?> rows = (List<?>) Json.readObject(out.resolve("metrics.json")).get("rows");
        assertTrue(Json.object(rows.get(0), "row").get("crps_skill") instanceof Double, independent);
        ok(with(evaluate, "--steps", 2, "--samples", "1,2"));
        Map<String, Object> json = Json.readObject(out.resolve("metrics.json"));
        assertEquals(pair, json.get("prediction"));
        assertEquals(2, ((List<?>) Json.object(json.get("samples"), "samples").get("means")).size());
        Map<String, Object> of =
                Json.object(Json.parse(ok(with(evaluate, "--mode", "mean", "--json")).out, "out"), "out");
        assertEquals(mean, of.get("prediction"));
        assertFalse(of.containsKey("samples"));

        Path predictions = dir.resolve("sd-predictions");
        Object[] predict = {"predict", sd, "--data", data, "--out", predictions};
        Result r = ok(with(predict, "--steps", 2, "--samples", 3, "--samples-out", samples, "--batch", 5));
        assertTrue(r.err.contains("mean of 3 antithetic samples"), r.err);
        assertTrue(Json.readObject(predictions.resolve("predictions.json"))
                .get("prediction")
                .toString()
                .startsWith("mean of 3"));
        try (NpyFile all = NpyFile.open(samples);
                NpyFile right = NpyFile.open(predictions.resolve("rh_pred_test.npy"))) {
            assertArrayEquals(new long[] {8, 3, 39548}, all.shape());
            float[] x = all.toFloatArray(), y = right.toFloatArray();
            for (int image = 0; image < 8; image++)
                for (int v = 0; v < 20544; v += 97) {
                    float sum = 0;
                    for (int k = 0; k < 3; k++) sum += x[(image * 3 + k) * 39548 + 19004 + v];
                    assertEquals(y[image * 20544 + v], sum / 3, 1e-4f);
                }
        }
        for (Object[] command : new Object[][] {evaluate, predict}) {
            refused(new String[] {"--steps", "3 does not divide"}, with(command, "--steps", 3));
            refused(new String[] {"--samples 0", "too small"}, with(command, "--samples", 0));
            refused(
                    new String[] {"--samples", "no meaning with --mode mean"},
                    with(command, "--mode", "mean", "--samples", 2));
            command[1] = run;
            refused(new String[] {"safetensors", "predicts in one way"}, with(command, "--mode", "mean"));
        }
        refused(new String[] {"--samples-out", "predicts no mean of samples"}, with(predict, "--samples-out", samples));
        predict[1] = sd;
        refused(
                new String[] {"--samples-out", "numbers, more than 2147483647. Lower --samples"},
                with(predict, "--samples-out", samples, "--samples", 100000));
        refused(
                new String[] {"--samples-out", "Lower --batch or --samples"},
                with(predict, "--samples-out", samples, "--samples", 20000, "--batch", 8));
        refused(new String[] {"--samples", "several"}, with(predict, "--samples", "1,2"));
        refused(
                new String[] {"--samples-out", "2 models"},
                with(predict, sd.resolve("last.safetensors"), "--samples-out", samples));
        evaluate[1] = sd;
        refused(
                new String[] {"compares numbers of samples", "2 models"},
                with(evaluate, sd.resolve("last.safetensors"), "--samples", "1,2"));
        refused(
                new String[] {"--independent", "the samples of one model, and 2 models are given. Give one model"},
                with(evaluate, sd.resolve("last.safetensors"), "--independent"));
    }

    @Test
    void baselinesReadTheFeaturesOfARun() {
        Result r = ok("baseline", "--data", data, "--features", run + ",pixels", "--out", dir.resolve("b"));
        assertTrue(r.out.contains("ridge on features of " + run + " + pixels, one lambda by GCV"), r.out);
        assertTrue(Files.exists(dir.resolve("b/metrics.json")) && Files.exists(dir.resolve("b/ridge.json")));
        ok("baseline", "--data", data, "--features", run, "--split", "validation");
        refused(
                new String[] {"trained on some of them", "train.seed"},
                "baseline",
                "--data",
                data,
                "--features",
                run,
                "--split",
                "validation",
                "--seed",
                "5");
    }

    @Test
    void resumeAndDryRun() {
        Path other = dir.resolve("other");
        Object[] run = {"train", "-c", "quickstart", "--data", data, "--run", other};
        ok(with(run, "-o", "train.epochs=1", "-o", "train.batch=16"));
        refused(new String[] {"has a run already", "--resume auto"}, run);
        Object[] longer = with(run, "-o", "train.epochs=2", "-o", "train.batch=16", "--resume", "auto");
        Result r = ok(longer);
        assertTrue(r.err.contains("resumed at step 2 of 4"), r.err);
        assertTrue(r.err.contains("train.epochs is 2, the checkpoint has 1"), r.err);
        assertTrue(Files.exists(other.resolve("history/1/recipe.yaml")));
        r = ok(longer);
        assertTrue(r.err.contains("nothing to do: the run is complete"), r.err);
        assertFalse(Files.exists(other.resolve("history/2")));
        Object[] changed = with(longer, "-o", "loss.pixel=mse", "--dry-run");
        refused(new String[] {"loss.pixel is \"mse\", the checkpoint has", "--allow-changes"}, changed);
        assertTrue(ok(with(changed, "--allow-changes")).err.contains("resumed at step 4 of 4"));
        try (FolderLock lock = FolderLock.take(other, Train.class, line -> {})) {
            refused(new String[] {other + ": is in use by this process"}, with(run, "--resume", "auto"));
        }
        try (FolderLock lock = FolderLock.take(other, Average.class, line -> {})) {
            Path last = RunFolder.last(other);
            refused(new String[] {other + ": is in use by this process"}, "average", last, last, "-o", last);
        }
        Path fresh = dir.resolve("runs/fresh");
        Object[] elsewhere = {"train", "-c", "quickstart", "--data", data, "--run", fresh, "-o", "train.batch=16"};
        refused(new String[] {"nowhere: no such file"}, with(elsewhere, "--resume", dir.resolve("nowhere")));
        refused(new String[] {"has neither best.safetensors nor"}, with(elsewhere, "--resume", dir));
        refused(
                new String[] {"resumed: its model is another: model.generator"},
                with(elsewhere, "--resume", other, "-o", "model.generator.rank=7"));
        assertFalse(Files.exists(fresh.getParent()));
        refused(new String[] {"--subject 2: is given beside"}, with(elsewhere, "--subjects", "1", "--subject", "2"));
        assertTrue(ok(with(elsewhere, "--resume", other, "--dry-run", "-o", "train.epochs=2"))
                .err
                .contains("resumed at step 4 of 4 from " + RunFolder.last(other)));
        r = ok(
                "train",
                "-c",
                "vit-corr-2d-workstation",
                "--data",
                data,
                "--run",
                dir.resolve("dry"),
                "-o",
                "train.batch=4",
                "--dry-run");
        assertTrue(r.out.contains("memory of a step") && r.out.contains("lower bound"), r.out);
        assertFalse(Files.exists(dir.resolve("dry")));
        ok(
                "train",
                "-c",
                "vanilla-gan",
                "--data",
                data,
                "--run",
                dir.resolve("fast"),
                "-o",
                "train.batch=4",
                "--fast-dev-run",
                "-o",
                "model.generator.image=32",
                "-o",
                "model.generator.cnn.channels=[8, 8]");
    }

    @Test
    void regionsOfTheCortexAndSeveralSubjects() throws Exception {
        String[] small = {"-o", "train.epochs=1", "-o", "train.batch=16", "-o", "model.discriminator.conv.channels=[2]"
        };
        Path folder = dir.resolve("regions");
        Result r = ok(
                "train",
                "-c",
                "vanilla-patch-multi-tiny",
                "--data",
                data,
                "--run",
                folder,
                small[0],
                small[1],
                small[2],
                small[3],
                small[4],
                small[5]);
        assertTrue(r.err.contains("left out") && r.err.contains("FFA-1") && r.err.contains("remainder"), r.err);
        String head = Files.readAllLines(folder.resolve("metrics.csv")).get(0);
        assertTrue(
                head.contains("d.loss.V1v") && head.contains("g.loss.EBA") && head.contains("d.real.remainder"), head);
        ok("evaluate", folder, "--data", data, "--out", dir.resolve("regions-evaluated"));
        refused(
                new String[] {"floc-noses", "floc-faces", "streams"},
                "train",
                "-c",
                "vanilla-patch-multi-tiny",
                "--data",
                data,
                "--run",
                dir.resolve("noses"),
                "-o",
                "model.discriminator.per=floc-noses");
        refused(
                new String[] {"order surface", "lh.white"},
                "train",
                "-c",
                "vanilla-patch-multi-tiny",
                "--data",
                data,
                "--run",
                dir.resolve("surface"),
                "-o",
                "model.discriminator.order=surface");

        ok("simulate", "--out", data, "--subject", 6, "--images", 40, "--test-images", 6, "--image-size", 64);
        Path both = dir.resolve("both");
        r = ok(
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--subjects",
                "1,6",
                "--run",
                both,
                "-o",
                "train.epochs=1",
                "-o",
                "train.batch=16");
        assertTrue(r.err.contains("79 training and 9 validation images"), r.err);
        String number = "-?\\d\\.\\d{4}";
        assertTrue(
                r.err.lines()
                        .anyMatch(l -> l.matches("quickstart epoch 1/1  pixel " + number + "  correlation " + number
                                + "  validation mean r " + number + "  \\(subj01 " + number + ", subj06 " + number
                                + "\\)  .*")),
                r.err);
        assertTrue(ok("evaluate", both, "--data", data, "--subject", 6, "--out", dir.resolve("six"))
                .out
                .contains("39198"));
        Path photos = dir.resolve("four-photos");
        BundledPhotos.extract(photos);
        refused(
                new String[] {"subj02", "subj01", "subj06"},
                "predict",
                both,
                "--images",
                photos,
                "--subject",
                2,
                "--out",
                dir.resolve("two"));
    }

    @Test
    void badInputIsReportedInOneLineThatNamesThePlace() throws Exception {
        refused(
                new String[] {"subj02", "simulate"},
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--subject",
                2,
                "--run",
                dir.resolve("x"));
        refused(new String[] {"recipe 'quickstrat'", "quickstart"}, "train", "-c", "quickstrat", "--data", data);
        refused(
                new String[] {"train.epoch", "Did you mean 'train.epochs'"},
                "train",
                "-c",
                "quickstart",
                "-o",
                "train.epoch=3",
                "--data",
                data);
        Path yaml = dir.resolve("r.yaml");
        Files.writeString(yaml, "model: {generator: {imge: 64}}\n");
        refused(
                new String[] {"r.yaml", "model.generator.imge", "Did you mean 'model.generator.image'"},
                "train",
                "-c",
                yaml,
                "--data",
                data);
        Files.writeString(yaml, "base: vit-gan-tny\n");
        refused(new String[] {"r.yaml", "base", "vit-gan-tny", "vit-gan-tiny"}, "train", "-c", yaml, "--data", data);
        Files.writeString(yaml, "base: vit-gan-tiny\nloss: {gan: hinge}\n");
        String based = ok("recipes", yaml).out;
        assertTrue(based.contains("gan: hinge") && based.contains("patch: 512"), based);
        Files.writeString(yaml, "model: [\n");
        refused(new String[] {"r.yaml", "is not valid YAML"}, "train", "-c", yaml, "--data", data);
        refused(
                new String[] {"--device gpu", "is unknown", "auto, cpu, cuda, cuda:N"},
                "evaluate",
                run,
                "--data",
                data,
                "--device",
                "gpu");
        for (String command : new String[] {"evaluate", "baseline", "predict"})
            refused(
                    new String[] {yaml + " is no folder", "Name another folder with --out"},
                    command.equals("baseline")
                            ? new Object[] {command, "--data", data, "--out", yaml.resolve("x")}
                            : new Object[] {command, run, "--data", data, "--out", yaml.resolve("x")});
        refused(
                new String[] {"lh_noise_ceiling.npy", "probably fractions"},
                "evaluate",
                run,
                "--data",
                data,
                "--noise-ceiling-unit",
                "percent",
                "--out",
                dir.resolve("pc"));
        refused(new String[] {"nothing.safetensors"}, "evaluate", dir.resolve("nothing.safetensors"), "--data", data);
        Path truncated = dir.resolve("truncated.safetensors");
        byte[] all = Files.readAllBytes(run.resolve("last.safetensors"));
        Files.write(truncated, java.util.Arrays.copyOf(all, all.length / 2));
        refused(
                new String[] {"truncated.safetensors"},
                "predict",
                truncated,
                "--data",
                data,
                "--out",
                dir.resolve("p"));
        Path file = Files.writeString(dir.resolve("file"), "x");
        refused(
                new String[] {"file/run", "cannot be created"},
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--run",
                file.resolve("run"));
        refused(
                new String[] {"file/p", "cannot be written", "file is no folder"},
                "predict",
                run,
                "--data",
                data,
                "--out",
                file.resolve("p"));
        refused(
                new String[] {"file/d", "Choose another name"},
                "simulate",
                "--out",
                file.resolve("d"),
                "--images",
                4,
                "--test-images",
                2);
        refused(new String[] {"exists already"}, "simulate", "--out", data, "--images", 4, "--test-images", 2);
        refused(new String[] {"subject 9"}, "simulate", "--out", dir.resolve("n"), "--subject", 9);
        assertEquals(2, run("train").code);
        assertEquals(2, run("frobnicate").code);
    }

    @Test
    void recipesProfileAndDoctor() {
        assertTrue(ok("recipes").out.contains("vit-gan"));
        assertTrue(ok("recipes", "defaults").out.contains("correlation_eps"));
        assertTrue(ok("recipes", "vit-gan", "--full").out.contains("spectral_norm: none"));
        Path json = dir.resolve("profile.json"), trace = dir.resolve("trace.json");
        Result r = ok(
                "profile", "-c", "quickstart", "-o", "train.batch=4", "--repeats", 2, "--json", json, "--trace", trace);
        assertTrue(r.out.contains("matmul") && r.out.contains("ratio") && r.out.contains("memory of a step"), r.out);
        assertTrue(Json.readObject(json).containsKey("nodes")
                && Json.readObject(trace).containsKey("traceEvents"));
        assertTrue(ok("doctor").out.contains("libraries"));
    }

    @Test
    void aTermSignalEndsARunAfterTheStepWithACheckpoint() throws Exception {
        Path folder = dir.resolve("terminated");
        String text = terminated(List.of(
                "train",
                "-c",
                "quickstart",
                "--data",
                data.toString(),
                "--run",
                folder.toString(),
                "-o",
                "train.epochs=1000",
                "-o",
                "train.batch=16"));
        assertTrue(text.contains("stopped after step"), text);
        Result r = ok(
                "train",
                "-c",
                "quickstart",
                "--data",
                data,
                "--run",
                folder,
                "-o",
                "train.epochs=1000",
                "-o",
                "train.batch=16",
                "--resume",
                "auto",
                "--dry-run");
        assertTrue(r.out.contains("memory of a step"), r.out);
        assertTrue(Files.size(folder.resolve("last.safetensors")) > 1000);
    }
}
