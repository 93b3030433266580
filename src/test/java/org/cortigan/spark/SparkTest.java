// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.spark.ml.Pipeline;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.PipelineStage;
import org.apache.spark.ml.feature.SQLTransformer;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.cortigan.InputException;
import org.cortigan.TestModels;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Rgb;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.example.SparkExample;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Comparison;
import org.cortigan.experiment.ComparisonOptions;
import org.cortigan.experiment.DataFolder;
import org.cortigan.io.Json;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainerListener;
import org.cortigan.train.TrainingData;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Predicts and trains on a cluster of two executors, each a JVM with one core. */
@Tag("slow")
class SparkTest {
    private static final int SIDE = 32, BATCH = 3;
    static final String GENERATOR =
            "model: {generator: {type: cnn, image: 32, cnn: {channels: [8, 16], hidden: 8}}, discriminator: {mlp: {hidden: [8]}}}\n";

    @TempDir
    static Path dir;

    private static SparkSession spark;
    private static Path model;
    private static List<String> photographs;

    /** Random photographs and responses of a brain with 5 + 7 vertices. */
    private record RandomData(long seed) implements TrainingData {
        @Override
        public int count() {
            return 16;
        }

        @Override
        public int leftVertices() {
            return 5;
        }

        @Override
        public int rightVertices() {
            return 7;
        }

        @Override
        public void image(int i, ByteBuffer into) {
            byte[] rgb = new byte[SIDE * SIDE * 3];
            new Random(seed + i).nextBytes(rgb);
            into.put(rgb);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            Random r = new Random(seed + i);
            for (int v = 0; v < 12; v++) into.putFloat((float) r.nextGaussian());
        }
    }

    @BeforeAll
    static void start() throws IOException {
        model = train(dir.resolve("model"), 0);
        photographs = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            byte[] rgb = new byte[40 * 50 * 3];
            new Random(i).nextBytes(rgb);
            Path file = Files.createDirectories(dir.resolve("photo graphs")).resolve(i + " é.png");
            Images.writePng(file, new Rgb(rgb, 40, 50));
            photographs.add(file.toString());
        }
        spark = LocalCluster.start(2, 1, dir, Map.of("spark.task.maxFailures", 1));
    }

    /** Trains a small model of 5 + 7 vertices for an epoch. */
    static Path train(Path folder, long seed) {
        Recipe recipe = TestModels.recipe(
                "model.generator.type=cnn",
                "model.generator.image=" + SIDE,
                "model.generator.cnn.channels=[8, 16]",
                "model.generator.cnn.hidden=8",
                "train.epochs=1",
                "train.batch=8");
        try (CpuDevice cpu = CpuDevice.best(1);
                Trainer t = new Trainer(recipe, new RandomData(seed), cpu, folder)) {
            t.run();
        }
        return RunFolder.last(folder);
    }

    @AfterAll
    static void stop() {
        LocalCluster.stop(spark);
    }

    private static CortiganTransformer stage() {
        return new CortiganTransformer()
                .setModelFile(model.toString())
                .setInputCol("path")
                .setOutputCol("responses")
                .setDevice("cpu")
                .setThreads(1)
                .setBatchSize(BATCH);
    }

    private static Dataset<Row> paths(List<String> all) {
        return spark.createDataset(all, Encoders.STRING()).toDF("path").repartition(4);
    }

    private static Map<String, float[]> responses(Dataset<Row> rows) {
        Map<String, float[]> byName = new TreeMap<>();
        for (Row r : rows.select("path", "responses").collectAsList()) {
            List<Float> values = r.isNullAt(1) ? null : r.getList(1);
            float[] y = values == null ? null : new float[values.size()];
            for (int v = 0; y != null && v < y.length; v++) y[v] = values.get(v);
            byName.put(
                    Path.of(r.getString(0).replaceFirst("^file:", ""))
                            .getFileName()
                            .toString(),
                    y);
        }
        return byName;
    }

    private static Map<String, float[]> expected() {
        Map<String, float[]> byName = new TreeMap<>();
        try (CpuDevice cpu = CpuDevice.best(1);
                Predictor p = Model.load(model).predictor(cpu, BATCH)) {
            for (String f : photographs)
                byName.put(
                        Path.of(f).getFileName().toString(),
                        p.predict(Images.read(Path.of(f)).upright().square(SIDE)));
        }
        return byName;
    }

    private static void assertSame(Map<String, float[]> expected, Map<String, float[]> actual) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, y) -> assertArrayEquals(y, actual.get(name), name)); // bit for bit
    }

    @Test
    void pathsAndBytesArePredictedAsByAPredictor() {
        Map<String, float[]> expected = expected();
        assertEquals(12, expected.values().iterator().next().length);
        assertEquals(2 + 1, spark.sparkContext().statusTracker().getExecutorInfos().length, "executors and the driver");
        assertSame(expected, responses(stage().transform(paths(photographs))));
        Dataset<Row> files = spark.read()
                .format("binaryFile")
                .load(Path.of(photographs.get(0)).getParent().toString());
        assertSame(expected, responses(stage().setInputCol("content").transform(files)));
        assertSame(expected, responses(stage().transform(files))); // paths that begin with file:
        assertSame(expected, responses(stage().setDistribute(false).transform(paths(photographs))));
        Row first = stage().transform(paths(photographs)).head();
        assertEquals(
                "[path: string, responses: array<float>]",
                stage().transform(files.select("path")).toString());
        assertEquals(2, first.length());
    }

    @Test
    void aSavedStageHasItsCheckpoint() throws IOException {
        Path other = train(dir.resolve("model1"), 1);
        CortiganTransformer stage = stage().setModelFile(other.toString()).setHandleInvalid("skip");
        Map<String, float[]> expected = responses(stage.transform(paths(photographs)));
        assertFalse(Arrays.equals(expected().get("0 é.png"), expected.get("0 é.png")), "the models are equal");
        String saved = dir.resolve("saved").toString(),
                pipeline = dir.resolve("pipeline").toString();
        stage.write().save(saved);
        Pipeline two = new Pipeline().setStages(new PipelineStage[] {
            stage, new SQLTransformer().setStatement("SELECT *, size(responses) AS n FROM __THIS__")
        });
        two.fit(paths(photographs)).write().overwrite().save(pipeline);
        Files.delete(other);

        CortiganTransformer loaded = CortiganTransformer.load(saved);
        assertEquals(stage.uid(), loaded.uid());
        Map<String, Object> before = values(stage), after = values(loaded);
        String file = String.valueOf(after.remove("modelFile"));
        before.remove("modelFile");
        assertEquals(before, after);
        assertTrue(file.startsWith("file:" + saved + "/data/cortigan-"), file);
        assertSame(expected, responses(loaded.transform(paths(photographs))));

        Dataset<Row> rows = PipelineModel.load(pipeline).transform(paths(photographs));
        assertSame(expected, responses(rows));
        assertEquals(photographs.size(), rows.filter("n = 12").count());

        InputException e = assertThrows(
                InputException.class, () -> loaded.write().overwrite().save(saved));
        assertTrue(e.getMessage().contains("has the checkpoint of the stage in it"), e.getMessage());
        assertSame(expected, responses(CortiganTransformer.load(saved).transform(paths(photographs))));
    }

    @Test
    void theExamplePredictsAFolder() throws IOException {
        Path folder = dir.resolve("example"), out = dir.resolve("out");
        int files = BundledPhotos.extract(folder).size();
        Files.writeString(folder.resolve("README"), "no picture");
        assertEquals(files, SparkExample.predict(spark, model.toString(), folder.toString(), out.toString()));
        Dataset<Row> again = PipelineModel.load(out.resolve("pipeline").toString())
                .transform(spark.read().format("binaryFile").load(folder.toString()));
        assertSame(responses(spark.read().parquet(out.resolve("responses").toString())), responses(again));
    }

    private static Map<String, Object> values(CortiganTransformer t) {
        Map<String, Object> values = new HashMap<>();
        for (var p : t.params()) values.put(p.name(), t.getOrDefault(p));
        return values;
    }

    @Test
    void photographsThatCannotBeReadAreNamedLeftOutOrKept() throws IOException {
        Path text = dir.resolve("notes.png"), cut = dir.resolve("cut.png"), absent = dir.resolve("absent.png");
        Files.writeString(text, "no picture");
        byte[] whole = Files.readAllBytes(Path.of(photographs.get(0)));
        Files.write(cut, Arrays.copyOf(whole, whole.length / 2));
        List<String> all = new ArrayList<>(photographs);
        for (Path p : List.of(text, cut, absent)) all.add(3, p.toString());
        all.add("relative.png");
        all.add("s3a://bucket/x.png");
        Map<String, float[]> expected = expected();

        assertSame(expected, responses(stage().setHandleInvalid("skip").transform(paths(all))));

        Dataset<Row> kept = stage().setHandleInvalid("keep").setErrorCol("why").transform(paths(all));
        Map<String, float[]> y = responses(kept);
        Map<String, String> why = new LinkedHashMap<>();
        for (Row r : kept.filter("why IS NOT NULL").collectAsList())
            why.put(r.getString(0), r.getString(r.fieldIndex("why")));
        assertEquals(all.size() - photographs.size(), why.size(), why.toString());
        assertTrue(why.get(text.toString()).startsWith(text + ": is no PNG or JPEG file but a text"), why.toString());
        assertTrue(why.get(cut.toString()).startsWith(cut + ": is truncated or damaged"), why.toString());
        assertTrue(why.get(absent.toString()).startsWith(absent + ": "), why.toString());
        assertTrue(why.get("relative.png").contains("is a relative path"), why.toString());
        assertTrue(why.get("s3a://bucket/x.png").contains("binaryFile"), why.toString());
        for (String bad : why.keySet())
            assertNull(y.remove(Path.of(bad).getFileName().toString()), bad);
        assertSame(expected, y);

        fails(stage().transform(paths(all.subList(3, 4))), absent + ": ");
        Dataset<Row> bytes = spark.createDataset(List.of(new byte[] {1, 2, 3}), Encoders.BINARY())
                .toDF("content");
        fails(stage().setInputCol("content").transform(bytes), "row 1 of partition 0: is no PNG or JPEG file");
        fails(stage().setInputCol("content").transform(bytes.selectExpr("CAST(NULL AS BINARY) content")), "is null");
    }

    private static void fails(Dataset<Row> rows, String message) {
        Throwable e = assertThrows(Exception.class, rows::collectAsList);
        while (e != null && !(e instanceof InputException)) e = e.getCause();
        assertTrue(e != null && e.getMessage().contains(message), String.valueOf(e));
    }

    @Test
    void wrongSettingsAreRefusedBeforeAJob() throws IOException {
        Dataset<Row> rows = paths(photographs);
        refused(new CortiganTransformer().setInputCol("path"), rows, "modelFile: is not set");
        refused(stage().setInputCol("file"), rows, "inputCol 'file': is no column");
        refused(stage().setInputCol("n"), rows.selectExpr("path", "1 AS n"), "has the type int");
        refused(stage().setOutputCol("path"), rows, "outputCol 'path': exists already");
        refused(stage().setModelFile("/nowhere.safetensors"), rows, "/nowhere.safetensors");
        refused(stage().setModelFile("hdfs://x/y").setDistribute(false), rows, "setDistribute(true)");
        assertThrows(IllegalArgumentException.class, () -> stage().setHandleInvalid("ignore"));
        assertThrows(IllegalArgumentException.class, () -> stage().setBatchSize(0));
        assertEquals(10, stage().params().length);

        Path shared = dir.resolve("shared.safetensors");
        Files.copy(model, shared);
        Dataset<Row> later =
                stage().setModelFile(shared.toString()).setDistribute(false).transform(rows);
        Files.copy(train(dir.resolve("model2"), 2), shared, StandardCopyOption.REPLACE_EXISTING);
        fails(later, "has other content than " + shared);
    }

    private static void refused(CortiganTransformer stage, Dataset<Row> rows, String message) {
        InputException e = assertThrows(InputException.class, () -> stage.transform(rows));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void aTableOfTasksEqualsOneInSequence() throws Exception {
        Path data = dir.resolve("data"), tasks = dir.resolve("tasks"), sequence = dir.resolve("sequence");
        SmallSubject.write(data, 24, 4);
        Path a = dir.resolve("a.yaml"), b = dir.resolve("b.yaml"), unfit = dir.resolve("unfit.yaml");
        Files.writeString(a, GENERATOR + "loss: {gan_weight: 0.01}\ntrain: {epochs: 2, batch: 8}\n");
        Files.writeString(b, GENERATOR + "loss: {gan_weight: 0, pixel: mse}\ntrain: {epochs: 1, batch: 8}\n");
        Files.writeString(unfit, GENERATOR + "train: {epochs: 1, batch: 8, initial_readout: fitted}\n");
        List<String> log = new ArrayList<>();
        TrainTable table = new TrainTable(options(data, tasks, a, b, unfit), "cpu", 1);
        String markdown = table.run(spark, log::add).markdown();
        assertTrue(log.stream().anyMatch(l -> l.startsWith("unfit-subj01-seed0 failed: ")), log.toString());
        assertTrue(markdown.contains("fitted needs a dense readout"), markdown);
        assertEquals(
                markdown.strip(), Files.readString(tasks.resolve("table.md")).strip());

        try (Device cpu = CpuDevice.best(1)) {
            new Comparison(options(data, sequence, a, b, unfit), name -> new TrainerListener() {}, s -> {}).run(cpu);
        }
        int compared = 0;
        for (String run : new String[] {
            "strongest-ridge-subj01-seed0", "ridge-on-pixels-subj01-seed0", "a-subj01-seed0", "b-subj01-seed0"
        }) {
            Path one = tasks.resolve("runs").resolve(run),
                    other = sequence.resolve("runs").resolve(run);
            assertEquals(result(other), result(one));
            try (Stream<Path> files = Files.walk(other)) {
                for (Path f : files.filter(f -> f.toString().matches(".*\\.(safetensors|npy)"))
                        .toList()) {
                    assertEquals(-1, Files.mismatch(f, one.resolve(other.relativize(f))), f.toString());
                    compared++;
                }
            }
        }
        assertTrue(compared > 4 * 6, compared + " files compared");

        // Finished runs stay, and only the failed one is tried again.
        log.clear();
        assertEquals(markdown, table.run(spark, log::add).markdown());
        assertEquals(1, log.stream().filter(l -> l.contains("failed")).count(), log.toString());
    }

    /** The losses of every epoch, as near as those of ranks in one process (DataParallelTest). */
    @Test
    void ranksOnTwoExecutorsTrainOneRun() throws Exception {
        Path data = dir.resolve("barrier-data"), folder = dir.resolve("barrier");
        SmallSubject.write(data, 24, 4);
        Path recipe = dir.resolve("barrier.yaml");
        Files.writeString(recipe, GENERATOR + "train: {epochs: 2, batch: 8, validation: 0.2}\n");
        BarrierTrain train =
                new BarrierTrain(recipe.toString(), List.of("optimizer.eps=0.001"), data, List.of(1), folder, "cpu", 1);
        assertEquals(folder.resolve("last.safetensors"), train.run(spark, 2));
        double[][] two = losses(folder);
        assertEquals(2L, Json.readObject(folder.resolve("environment.json")).get("ranks"));
        // A finished run stays as it is.
        byte[] last = Files.readAllBytes(RunFolder.last(folder));
        train.run(spark, 2);
        assertArrayEquals(last, Files.readAllBytes(RunFolder.last(folder)));

        Path alone = dir.resolve("barrier-alone");
        new BarrierTrain(recipe.toString(), List.of("optimizer.eps=0.001"), data, List.of(1), alone, "cpu", 1)
                .run(spark, 1);
        double[][] one = losses(alone);
        assertEquals(one.length, two.length);
        for (int i = 0; i < one.length; i++) assertArrayEquals(one[i], two[i], 1e-5);
    }

    /** The numbers of metrics.csv but for the rate. */
    private static double[][] losses(Path run) throws IOException {
        return Files.readAllLines(run.resolve("metrics.csv")).stream()
                .skip(1)
                .map(l -> Arrays.stream(l.substring(0, l.lastIndexOf(',')).split(","))
                        .mapToDouble(Double::parseDouble)
                        .toArray())
                .toArray(double[][]::new);
    }

    static ComparisonOptions options(Path data, Path out, Path... recipes) {
        return new ComparisonOptions(
                new DataFolder(data),
                out,
                Stream.of(recipes).map(Path::toString).toList(),
                List.of(),
                List.of(0L),
                List.of(1),
                false,
                List.of(),
                NoiseCeiling.Unit.FRACTION);
    }

    static Map<String, Object> result(Path run) {
        Map<String, Object> result = new TreeMap<>(Json.readObject(run.resolve("result.json")));
        result.remove("seconds_per_epoch");
        return result;
    }
}
