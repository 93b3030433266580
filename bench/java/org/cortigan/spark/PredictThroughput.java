// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.cortigan.cortex.Images;
import org.cortigan.exec.CpuDevice;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;

/**
 * Images a second of {@link CortiganTransformer}, decoding included, on one and on two executors of one core, and on
 * one executor of two; beside a loop without Spark on one core. The clusters take turns, each with a pass to warm up.
 * Arguments: a checkpoint, a folder of photographs, and how many rows a pass has; the photographs repeat.
 */
public final class PredictThroughput {
    private static final int BATCH = 32, TASKS = 8, TURNS = 2, PASSES = 5;

    private PredictThroughput() {}

    /** Executors, and cores of each. */
    private record Cluster(int executors, int cores) {}

    public static void main(String[] args) throws Exception {
        String model = args[0];
        List<Path> photographs = Images.list(Path.of(args[1]));
        int count = Integer.parseInt(args[2]);
        List<String> rows = new ArrayList<>();
        for (int i = 0; i < count; i++)
            rows.add(photographs.get(i % photographs.size()).toAbsolutePath().toString());
        Path home = Files.createTempDirectory("cortigan-throughput");
        for (int turn = 0; turn < TURNS; turn++) {
            print("without Spark, 1 core", count, () -> alone(model, rows));
            for (Cluster c : List.of(new Cluster(1, 1), new Cluster(2, 1), new Cluster(1, 2)))
                cluster(c, model, rows, home);
        }
    }

    private static void alone(String model, List<String> rows) {
        try (CpuDevice cpu = CpuDevice.best(1);
                Predictor p = Model.load(Path.of(model)).predictor(cpu, BATCH)) {
            int side = (int) Math.round(Math.sqrt(p.imageBytes() / 3.0));
            byte[] pixels = new byte[BATCH * p.imageBytes()];
            for (int at = 0; at < rows.size(); at += BATCH) {
                int n = Math.min(BATCH, rows.size() - at);
                for (int k = 0; k < n; k++) {
                    byte[] rgb =
                            Images.read(Path.of(rows.get(at + k))).upright().square(side);
                    System.arraycopy(rgb, 0, pixels, k * rgb.length, rgb.length);
                }
                p.predict(Arrays.copyOf(pixels, n * p.imageBytes()));
            }
        }
    }

    private static void cluster(Cluster c, String model, List<String> rows, Path home) {
        SparkSession spark = LocalCluster.start(
                c.executors,
                c.cores,
                home,
                Map.of("spark.executor.extraJavaOptions", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0"));
        Dataset<Row> paths =
                spark.createDataset(rows, Encoders.STRING()).toDF("path").repartition(TASKS);
        CortiganTransformer predict = new CortiganTransformer()
                .setModelFile(model)
                .setInputCol("path")
                .setDevice("cpu")
                .setThreads(c.cores)
                .setBatchSize(BATCH);
        print(
                c.executors + " executors of " + c.cores + " cores",
                rows.size(),
                () -> predict.transform(paths)
                        .write()
                        .format("noop")
                        .mode("overwrite")
                        .save());
        LocalCluster.stop(spark);
    }

    private static void print(String what, int count, Runnable pass) {
        double[] rates = new double[PASSES];
        for (int i = -1; i < PASSES; i++) {
            long start = System.nanoTime();
            pass.run();
            if (i >= 0) rates[i] = count * 1e9 / (System.nanoTime() - start);
        }
        Arrays.sort(rates);
        System.out.printf(
                Locale.ROOT,
                "%-26s %7.1f images/s (%.1f to %.1f)%n",
                what,
                rates[PASSES / 2],
                rates[0],
                rates[PASSES - 1]);
    }
}
