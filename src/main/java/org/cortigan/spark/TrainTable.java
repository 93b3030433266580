// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.io.Serializable;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.apache.spark.SparkContext;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.SparkSession;
import org.cortigan.InputException;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.experiment.Comparison;
import org.cortigan.experiment.ComparisonOptions;
import org.cortigan.experiment.DataFolder;
import org.cortigan.train.Recipe;
import org.cortigan.train.TrainerListener;
import scala.Function2;
import scala.collection.Iterator;
import scala.jdk.javaapi.CollectionConverters;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction2;
import scala.runtime.BoxedUnit;

/**
 * Does the runs of a {@link Comparison} as the tasks of one Spark job, each run a task: training and evaluation, or a
 * ridge baseline. Data, recipes and the folder of the table must have the same absolute paths on all machines.
 *
 * <p>The files of the runs are those of the command {@code table} with the same device and threads, but for times, and
 * the table is written after each run. Finished runs stay. If an executor is lost, Spark gives its run to another one,
 * which resumes it from its last checkpoint. What runs say is in the executors' standard error.
 */
public final class TrainTable {
    private final ComparisonOptions options;
    private final String device;
    private final int threads;

    /**
     * @param device of every task, as {@link Devices#open} takes it
     * @param threads CPU threads of a task, 0 for all cores; {@code spark.task.cpus} should be the same number
     */
    public TrainTable(ComparisonOptions options, String device, int threads) {
        this.options = options;
        this.device = device;
        this.threads = threads;
    }

    /**
     * Does the runs that are not finished.
     *
     * @param log receives messages for the user
     * @return the table, which says of each run that failed why
     * @throws InputException if a recipe is wrong, or the folder has runs of other recipes or other data
     */
    public ComparisonTable run(SparkSession spark, Consumer<String> log) {
        SparkContext context = spark.sparkContext();
        // A second attempt beside the first would find the run's folder in use.
        if (context.getConf().getBoolean("spark.speculation", false))
            throw new InputException(
                    "spark.speculation", "is true: two tasks would train one run", "Leave it out, or set it to false");
        Comparison comparison = new Comparison(options, name -> new TrainerListener() {}, log);
        submit(context, comparison.names(), new RunOne(Options.of(options), device, threads), (name, reason) -> {
            if (!reason.isEmpty()) log.accept(name + " failed: " + reason);
            comparison.assemble();
        });
        return comparison.table();
    }

    private static void submit(
            SparkContext context, List<String> labels, RunOne work, BiConsumer<String, String> ended) {
        RDD<String> runs = JavaSparkContext.fromSparkContext(context)
                .parallelize(labels, labels.size())
                .rdd();
        List<Object> partitions =
                IntStream.range(0, labels.size()).mapToObj(i -> (Object) i).toList();
        // Spark calls this in one thread, in the order in which the tasks end.
        Function2<Object, String, BoxedUnit> end = new AbstractFunction2<>() {
            @Override
            public BoxedUnit apply(Object partition, String reason) {
                ended.accept(labels.get((Integer) partition), reason);
                return BoxedUnit.UNIT;
            }
        };
        context.runJob(
                runs,
                work,
                CollectionConverters.asScala(partitions).toSeq(),
                end,
                ClassTag$.MODULE$.apply(String.class));
    }

    /** A task: the work of its only run. Returns why that failed, or "". */
    private static final class RunOne extends AbstractFunction2<TaskContext, Iterator<String>, String>
            implements Serializable {
        private final Options options;
        private final String device;
        private final int threads;

        RunOne(Options options, String device, int threads) {
            this.options = options;
            this.device = device;
            this.threads = threads;
        }

        @Override
        public String apply(TaskContext task, Iterator<String> labels) {
            Comparison comparison =
                    new Comparison(options.options(), name -> new TrainerListener() {}, System.err::println);
            try (Device opened = Devices.open(device, threads, System.err::println)) {
                String name = labels.next();
                if (!comparison.runOnly(name, opened)) return "stopped by a signal";
                return comparison.failure(name).orElse("");
            }
        }
    }

    /** {@link ComparisonOptions} that can be sent, with absolute paths. */
    private record Options(
            String data,
            String cache,
            String out,
            List<String> recipes,
            List<String> assignments,
            List<Long> seeds,
            List<Integer> subjects,
            boolean ablation,
            List<String> pairs,
            NoiseCeiling.Unit unit)
            implements Serializable {
        static Options of(ComparisonOptions o) {
            return new Options(
                    absolute(o.data().folder()),
                    absolute(o.data().cache()),
                    absolute(o.out()),
                    o.recipes().stream()
                            .map(r -> Recipe.BUNDLED.contains(r) ? r : absolute(Path.of(r)))
                            .toList(),
                    List.copyOf(o.assignments()),
                    o.seeds(),
                    o.subjects(),
                    o.ablation(),
                    List.copyOf(o.pairs()),
                    o.unit());
        }

        private static String absolute(Path p) {
            return p.toAbsolutePath().toString();
        }

        ComparisonOptions options() {
            return new ComparisonOptions(
                    new DataFolder(Path.of(data), Path.of(cache)),
                    Path.of(out),
                    recipes,
                    assignments,
                    seeds,
                    subjects,
                    ablation,
                    pairs,
                    unit);
        }
    }
}
