// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.nio.file.Path;
import java.util.Map;
import org.apache.spark.sql.SparkSession;

/**
 * A cluster of Spark on this machine, each executor a JVM with the class path of this one. Spark starts executors of
 * that class path, and not of an installation's jars, in its own tests only: so its switches for tests are set.
 */
final class LocalCluster {
    private LocalCluster() {}

    /**
     * @param executors number of JVMs
     * @param cores tasks at once in each
     * @param home folder for files of the cluster
     */
    static SparkSession start(int executors, int cores, Path home, Map<String, Object> settings) {
        System.setProperty("spark.testing", "true");
        System.setProperty("spark.test.home", home.toString());
        SparkSession.Builder b = SparkSession.builder()
                .master("local-cluster[" + executors + "," + cores + ",1024]")
                .appName("cortigan")
                .config("spark.ui.enabled", false)
                .config("spark.executorEnv.SPARK_TESTING", "1")
                .config("spark.executorEnv.SPARK_SCALA_VERSION", "2.13")
                .config("spark.executor.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
                // A job waits for all executors, so that each gets tasks.
                .config("spark.scheduler.minRegisteredResourcesRatio", 1)
                .config("spark.sql.shuffle.partitions", 2)
                .config("spark.sql.warehouse.dir", home.resolve("warehouse").toString())
                .config("spark.local.dir", home.resolve("local").toString());
        settings.forEach((key, value) -> b.config(key, String.valueOf(value)));
        return b.getOrCreate();
    }

    static void stop(SparkSession spark) {
        spark.stop();
        System.clearProperty("spark.testing");
        System.clearProperty("spark.test.home");
    }
}
