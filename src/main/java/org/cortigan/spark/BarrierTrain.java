// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.io.Serializable;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Ranks;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.DataFolder;
import org.cortigan.experiment.TrainingRun;
import org.cortigan.experiment.TrainingSets;
import org.cortigan.io.FolderLock;
import org.cortigan.model.Generator;
import org.cortigan.ranks.SocketTransport;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import scala.collection.Iterator;
import scala.jdk.javaapi.CollectionConverters;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction1;

/**
 * Trains one run on several executors at once: its ranks are the tasks of one stage in barrier mode, which begin
 * together. Spark tells each the addresses of the others; then they reach each other by TCP, without Spark and without
 * encryption. Data, recipe and the folder of the run must have the same absolute paths on all machines.
 *
 * <p>The run is that of {@code mpirun -np N cortigan train} with as many threads. A folder with a checkpoint is
 * continued from it; so Spark, which repeats the whole stage where a task is lost, loses only the steps since then.
 */
public final class BarrierTrain {
    private final Work work;

    /**
     * @param recipe name of a bundled recipe, or a YAML file
     * @param assignments values {@code key=value} that replace those of the recipe
     * @param data folder with subj01 ... subj08
     * @param folder of the run
     * @param device of every rank, as {@link Devices#open} takes it
     * @param threads CPU threads of a rank; {@code spark.task.cpus} should be the same number
     */
    public BarrierTrain(
            String recipe,
            List<String> assignments,
            Path data,
            List<Integer> subjects,
            Path folder,
            String device,
            int threads) {
        if (threads < 1) throw new InputException("threads", threads + " is too small", "Give 1 or more");
        work = new Work(
                Recipe.BUNDLED.contains(recipe)
                        ? recipe
                        : Path.of(recipe).toAbsolutePath().toString(),
                List.copyOf(assignments),
                data.toAbsolutePath().toString(),
                List.copyOf(subjects),
                folder.toAbsolutePath().toString(),
                device,
                threads,
                new SecureRandom().nextLong());
    }

    /**
     * Trains to the end. What rank 0 says is in its executor's standard error.
     *
     * @param ranks number of tasks that run at once; {@code train.batch} must be a multiple of it
     * @return the last checkpoint
     * @throws InputException if the recipe is wrong
     */
    public Path run(SparkSession spark, int ranks) {
        work.recipe();
        List<Integer> numbers = IntStream.range(0, ranks).boxed().toList();
        JavaSparkContext.fromSparkContext(spark.sparkContext())
                .parallelize(numbers, ranks)
                .rdd()
                .barrier()
                .mapPartitions(work, false, ClassTag$.MODULE$.apply(String.class))
                .toJavaRDD()
                // Spark repeats a stage in barrier mode only if its results are shuffled.
                .coalesce(1, true)
                .collect();
        return RunFolder.last(Path.of(work.folder));
    }

    /** The work of one rank. */
    private static final class Work extends AbstractFunction1<Iterator<Integer>, Iterator<String>>
            implements Serializable {
        private final String recipe;
        private final List<String> assignments;
        private final String data;
        private final List<Integer> subjects;
        private final String folder;
        private final String device;
        private final int threads;
        /** What keeps strangers out. */
        private final long key;

        Work(
                String recipe,
                List<String> assignments,
                String data,
                List<Integer> subjects,
                String folder,
                String device,
                int threads,
                long key) {
            this.recipe = recipe;
            this.assignments = new ArrayList<>(assignments);
            this.data = data;
            this.subjects = new ArrayList<>(subjects);
            this.folder = folder;
            this.device = device;
            this.threads = threads;
            this.key = key;
        }

        Recipe recipe() {
            return Recipe.load(recipe).with(assignments);
        }

        @Override
        public Iterator<String> apply(Iterator<Integer> rows) {
            BarrierTaskContext task = BarrierTaskContext.get();
            int rank = task.partitionId();
            String address = task.getTaskInfos()[rank].address(), host = address.substring(0, address.lastIndexOf(':'));
            SocketTransport transport =
                    SocketTransport.join(host, key, rank, own -> Arrays.asList(task.allGather(own)));
            Ranks ranks = transport.size() == 1 ? Ranks.alone() : Ranks.join(() -> transport, host);
            try (ranks) { // An exception ends the connections, so that the others do not wait.
                train(ranks, task);
                ranks.leave();
            }
            return CollectionConverters.asScala(List.of(ranks.name()).iterator());
        }

        private void train(Ranks ranks, BarrierTaskContext task) {
            Path run = Path.of(folder);
            Recipe r = recipe();
            int side = Generator.of(r.section("model").section("generator")).image();
            if (ranks.isFirst() && task.stageAttemptNumber() > 0) awaitEarlier(run);
            // The first decodes the photographs into the cache, where the others find them.
            if (!ranks.isFirst()) task.barrier();
            try (Device opened = Devices.open(device, threads, ranks, System.err::println);
                    TrainingSets sets = TrainingSets.open(
                            new DataFolder(Path.of(data)), subjects, side, Integer.MAX_VALUE, System.err::println);
                    TrainingRun training = new TrainingRun(r, sets.bySubject(), opened, run, System.err::println)) {
                Path checkpoint = Checkpoints.toResume(run);
                if (checkpoint != null) training.resume(checkpoint);
                if (ranks.isFirst()) task.barrier();
                training.run(() -> System.err.println("stopped after " + training.position()));
            }
        }

        /** An earlier attempt has the run's folder until it notices, at its next step, that a rank is lost. */
        private static void awaitEarlier(Path run) {
            for (long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(1); ; )
                try {
                    FolderLock.take(run, RunFolder.class, line -> {}).close();
                    return;
                } catch (InputException e) {
                    if (System.nanoTime() > end) throw e;
                    LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(100));
                }
        }
    }
}
