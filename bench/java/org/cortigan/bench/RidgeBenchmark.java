// SPDX-License-Identifier: Apache-2.0
package org.cortigan.bench;

import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.IntStream;
import org.cortigan.eval.RowSource;
import org.cortigan.io.NpyFile;
import org.cortigan.ridge.Ridge;
import org.cortigan.ridge.RidgeOptions;
import org.cortigan.ridge.RidgeOptions.Criterion;
import org.cortigan.ridge.RidgeOptions.Sharing;
import org.cortigan.ridge.RidgeOptions.Validation;

/**
 * Times the ridge regression on the data that tools/peer_ridge.py writes: one fit and the predictions of the test
 * images, features and responses already in memory.
 *
 * <p>usage: RidgeBenchmark DIR {gcv | loo | K} {shared | vertex} [first vertices]
 */
final class RidgeBenchmark {
    private RidgeBenchmark() {}

    public static void main(String[] args) {
        Path dir = Path.of(args[0]);
        RowSource x = matrix(dir.resolve("x.npy")), test = matrix(dir.resolve("test.npy"));
        RowSource y = matrix(dir.resolve("y.npy"));
        int vertices = args.length > 3 ? Integer.parseInt(args[3]) : y.columns();
        RowSource targets = RowSource.columns(y, IntStream.range(0, vertices).toArray());
        RidgeOptions options = RidgeOptions.defaults()
                .withLambdas(IntStream.range(0, 10)
                        .mapToDouble(i -> Math.pow(10, 1 + i * 5 / 9.0))
                        .toArray())
                .withValidation(
                        switch (args[1]) {
                            case "gcv" -> Validation.gcv();
                            case "loo" -> Validation.loo();
                            default -> Validation.folds(Integer.parseInt(args[1]));
                        })
                .withCriterion(Criterion.MSE)
                .withSharing(Sharing.valueOf(args[2].toUpperCase(Locale.ROOT)));
        long start = System.nanoTime();
        double busy = processorSeconds();
        Ridge ridge = Ridge.fit(x, targets, options);
        double fitted = seconds(start);
        double[] predicted = ridge.predict(test);
        System.out.printf(
                Locale.ROOT,
                "ours %s %s, %d images, %d features, %d vertices: %.2f s, of which fit %.2f, processor time"
                        + " %.1f s; score %.9f, lambda %.4g, prediction %.7f%n",
                args[1],
                args[2],
                x.rows(),
                x.columns(),
                vertices,
                seconds(start),
                fitted,
                processorSeconds() - busy,
                ridge.score(),
                ridge.lambdas()[0],
                predicted[0]);
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }

    private static double processorSeconds() {
        return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toMillis() / 1e3;
    }

    private static RowSource matrix(Path file) {
        try (NpyFile npy = NpyFile.open(file)) {
            float[] values = npy.toFloatArray();
            return RowSource.of(values, Math.toIntExact(npy.rows()), values.length / Math.toIntExact(npy.rows()));
        }
    }
}
