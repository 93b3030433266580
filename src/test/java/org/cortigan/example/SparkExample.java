// SPDX-License-Identifier: Apache-2.0
package org.cortigan.example;

import java.io.IOException;
import org.apache.spark.ml.Pipeline;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.PipelineStage;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.cortigan.spark.CortiganTransformer;

/**
 * Shows how a program for Spark predicts the responses to a folder of photographs and writes them as Parquet files, by
 * a pipeline that it saves. Arguments: the checkpoint of a run, the folder, a folder for the output.
 */
public final class SparkExample {
    private SparkExample() {}

    public static void main(String[] args) throws Exception {
        try (SparkSession spark = SparkSession.builder().getOrCreate()) {
            System.out.println(predict(spark, args[0], args[1], args[2]) + " photographs predicted");
        }
    }

    /** Returns the number of photographs that were predicted. */
    public static long predict(SparkSession spark, String checkpoint, String photographs, String out)
            throws IOException {
        CortiganTransformer predict = new CortiganTransformer()
                .setModelFile(checkpoint)
                .setInputCol("content")
                .setOutputCol("responses")
                .setHandleInvalid("skip");
        // One column has the bytes of a file, one its path.
        Dataset<Row> files = spark.read().format("binaryFile").load(photographs);
        PipelineModel pipeline =
                new Pipeline().setStages(new PipelineStage[] {predict}).fit(files);
        pipeline.transform(files).select("path", "responses").write().parquet(out + "/responses");
        pipeline.save(out + "/pipeline");
        return spark.read().parquet(out + "/responses").count();
    }
}
