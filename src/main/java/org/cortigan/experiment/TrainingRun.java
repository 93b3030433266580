// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import org.cortigan.exec.Device;
import org.cortigan.jni.Native;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainerListener;
import org.cortigan.train.TrainingData;
import org.jspecify.annotations.Nullable;

/** A training run with its folder: recipe, environment, metrics and checkpoints. */
public final class TrainingRun implements AutoCloseable {
    private final Device device;
    private final @Nullable Path folder;
    private final Consumer<String> log;
    private final Trainer trainer;
    private @Nullable String command;

    /**
     * Makes the folder and builds the model.
     *
     * @param data data by subject name; a single subject has the empty name
     * @param folder run folder; null for a dry run. Of several ranks only the first uses it
     * @param log receives messages for the user
     */
    public TrainingRun(
            Recipe recipe, Map<String, TrainingData> data, Device device, @Nullable Path folder, Consumer<String> log) {
        this.device = device;
        this.folder = folder;
        this.log = log;
        trainer = new Trainer(recipe, data, device, folder, log);
    }

    /** The trainer, which knows the model and the data. */
    public Trainer trainer() {
        return trainer;
    }

    /** Names the command that makes the run, for environment.json. */
    public void madeBy(String command) {
        this.command = command;
    }

    /** Continues from a checkpoint of the same recipe; see {@link Trainer#resume(Path)}. */
    public void resume(Path checkpoint) {
        trainer.resume(checkpoint);
    }

    /** Continues from a checkpoint; see {@link Trainer#resume(Path, boolean)}. */
    public void resume(Path checkpoint, boolean acceptsChanges) {
        trainer.resume(checkpoint, acceptsChanges);
    }

    /** The progress of the run, such as "step 3 of 10". */
    public String position() {
        return "step " + trainer.step() + " of " + trainer.steps();
    }

    /**
     * Trains to the end and writes the files of the run. A signal to the JVM stops the run after the current step and
     * writes a checkpoint.
     *
     * @param whenStopped called before the JVM exits, if a signal stopped the run
     * @param listeners called for steps and epochs, after the files of the run are written
     * @return whether the run is complete
     */
    public boolean run(Runnable whenStopped, TrainerListener... listeners) {
        Path own = Objects.requireNonNull(folder, "a dry run writes no files");
        boolean writes = trainer.ranks().isFirst();
        if (trainer.isComplete()) {
            log.accept("nothing to do: the run is complete");
            return true;
        }
        CountDownLatch done = new CountDownLatch(1);
        // A signal starts this hook. The JVM ends when the hook returns, so it waits for the step and the checkpoint.
        Thread hook = new Thread(() -> stopAndWait(done));
        Map<String, Object> environment = environment(command);
        try (RunFolder files =
                writes ? new RunFolder(own, trainer.recipe(), device, environment, trainer.step(), log) : null) {
            if (files != null) trainer.addListener(files);
            if (files != null) for (TrainerListener l : listeners) trainer.addListener(l);
            boolean ends = !ShutdownHook.add(hook), others = trainer.ranks().size() > 1;
            if (ends) trainer.requestStop(); // which the other ranks hear in run()
            boolean complete = (!ends || others) && trainer.run();
            if (!complete) whenStopped.run();
            return complete;
        } finally {
            done.countDown();
            ShutdownHook.remove(hook);
        }
    }

    /**
     * Processor and library versions, for environment.json.
     *
     * @param command that makes the run; null if it is not known
     */
    static Map<String, Object> environment(@Nullable String command) {
        Map<String, Object> environment = new LinkedHashMap<>();
        if (command != null) environment.put("command", command);
        environment.put("processor", Native.cpu_features());
        environment.put("libraries", Native.library_versions());
        return environment;
    }

    private void stopAndWait(CountDownLatch done) {
        trainer.requestStop();
        try {
            done.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        trainer.close();
    }
}
