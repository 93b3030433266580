// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.train.RunFolder;
import org.jspecify.annotations.Nullable;

/** Finds the checkpoint that a user names. */
public final class Checkpoints {
    private Checkpoints() {}

    /**
     * Finds the checkpoint of a path: a file is the checkpoint itself; a run folder has its best checkpoint, or its
     * last one if there is no best.
     *
     * @param fileOrRun checkpoint or run folder
     * @throws InputException if the folder has no checkpoint, or the file is another one of a run's folder
     */
    public static Path find(Path fileOrRun) {
        return Files.isDirectory(fileOrRun) ? RunFolder.bestOrLast(fileOrRun) : requireNoOther(fileOrRun);
    }

    /** Files such as recipe.yaml and metrics.csv are also named by users who mean the run. */
    private static Path requireNoOther(Path file) {
        Path run = file.toAbsolutePath().getParent();
        boolean isOther = run != null
                && !file.toString().endsWith(".safetensors")
                && Files.isRegularFile(file)
                && (Files.exists(RunFolder.best(run)) || Files.exists(RunFolder.last(run)));
        if (isOther)
            throw new InputException(
                    file.toString(), "is no checkpoint but another file of a run's folder", "Give that folder: " + run);
        return file;
    }

    /**
     * The checkpoint that an interrupted run continues from: its last one, or its best one if it has no other.
     *
     * @return null if the run has no checkpoint
     * @throws InputException if the last one cannot be read; the message names the best one if there is one
     */
    public static @Nullable Path toResume(Path run) {
        Path best = RunFolder.best(run), last = RunFolder.last(run);
        if (!Files.exists(last)) return Files.exists(best) ? best : null;
        try (SafeTensors t = SafeTensors.open(last)) {
            return t.path();
        } catch (InputException e) {
            throw new InputException(
                    last.toString(),
                    "cannot be resumed: " + e.getMessage(),
                    (Files.exists(best) ? "Or continue from " + best + ", with train --resume, or" : "Or")
                            + " remove the run's folder and start again",
                    e);
        }
    }

    /** The model that a checkpoint describes; reads nothing else of the file. */
    public static ModelConfig config(Path checkpoint) {
        try (SafeTensors t = SafeTensors.open(checkpoint)) {
            return Model.config(t);
        }
    }

    /**
     * Name of the subject whose responses a checkpoint predicts.
     *
     * @param chosen the subject that a model of several subjects is to predict
     * @return "" if the checkpoint has one subject and does not tell which
     */
    public static String subject(Path checkpoint, String chosen) {
        try (SafeTensors t = SafeTensors.open(checkpoint)) {
            List<ModelConfig.Subject> subjects = Model.config(t).subjects();
            return subjects.size() > 1 || !subjects.get(0).name().isEmpty() ? chosen : Model.subject(t);
        }
    }

    /**
     * Checks that models were trained on the subject that they are to predict.
     *
     * @param subject name of the subject
     * @param log is told of a checkpoint that does not tell its subject, as those of version 0.1
     * @throws InputException if a model was trained on another subject
     */
    public static void requireSubject(List<Path> checkpoints, String subject, Consumer<String> log) {
        for (Path checkpoint : checkpoints) {
            String own = subject(checkpoint, subject);
            if (own.isEmpty())
                log.accept(checkpoint + " does not tell which subject it was trained on; it is taken to be " + subject);
            else if (!own.equals(subject))
                throw new InputException(
                        checkpoint.toString(),
                        "was trained on " + InputFiles.quote(own) + ", not on '" + subject + "'",
                        "Choose the subject with --subject, or accept it with --other-subject");
        }
    }

    /**
     * Checks that a model predicts the vertices that a subject has.
     *
     * @param trained what the model predicts
     * @param remedy what the user can do if the subject has others
     * @throws InputException if the subject has others
     */
    public static void requireVertices(
            Path checkpoint, ModelConfig.Subject trained, AlgonautsSubject subject, String remedy) {
        ModelConfig.Subject now =
                new ModelConfig.Subject(trained.name(), subject.left(), subject.right(), subject.missing());
        if (!now.equals(trained))
            throw new InputException(
                    checkpoint.toString(), "is for " + trained + ", but " + subject.folder() + " is " + now, remedy);
    }
}
