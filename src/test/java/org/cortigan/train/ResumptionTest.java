// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a run may resume from, and with which recipe and data. */
class ResumptionTest {
    private static final CpuDevice CPU = CpuDevice.best(1);
    private static final Recipe RECIPE =
            TrainerTest.recipe("model.discriminator.type=none", "loss.gan_weight=0", "train.epochs=2");

    /** The toy data of a named subject. */
    private static class Forwarding implements TrainingData {
        private final String subjectName;

        Forwarding(String subjectName) {
            this.subjectName = subjectName;
        }

        @Override
        public String subjectName() {
            return subjectName;
        }

        @Override
        public int count() {
            return TrainerTest.TOY.count();
        }

        @Override
        public int leftVertices() {
            return TrainerTest.TOY.leftVertices();
        }

        @Override
        public int rightVertices() {
            return TrainerTest.TOY.rightVertices();
        }

        @Override
        public void image(int i, ByteBuffer into) {
            TrainerTest.TOY.image(i, into);
        }

        @Override
        public void responses(int i, ByteBuffer into) {
            TrainerTest.TOY.responses(i, into);
        }
    }

    @TempDir
    static Path dir;

    /** Of a run of 2 epochs of 6 steps on subj01. */
    private static Path checkpoint;

    @BeforeAll
    static void train() {
        checkpoint = trained("subj01");
    }

    private static Path trained(String subject) {
        Path folder = dir.resolve("trained on " + subject);
        try (Trainer t = new Trainer(RECIPE, new Forwarding(subject), CPU, folder)) {
            t.run();
        }
        return RunFolder.last(folder);
    }

    /** Resumes without training and returns the messages. */
    private static List<String> resume(Recipe recipe, String subject, boolean acceptsChanges) {
        return resume(recipe, new Forwarding(subject), checkpoint, acceptsChanges);
    }

    private static List<String> resume(Recipe recipe, TrainingData data, Path from, boolean acceptsChanges) {
        List<String> said = new ArrayList<>();
        try (Trainer t = new Trainer(recipe, Map.of("", data), CPU, null, said::add)) {
            t.resume(from, acceptsChanges);
            assertEquals(12, t.step());
        }
        return said;
    }

    private static String refused(Recipe recipe, String subject, boolean acceptsChanges) {
        return assertThrows(InputException.class, () -> resume(recipe, subject, acceptsChanges))
                .getMessage();
    }

    @Test
    void theSameValuesAreNoDifference() {
        assertEquals(List.of(), resume(RECIPE, "subj01", false));
        assertEquals(
                List.of(), resume(RECIPE.with("train.epochs=2.0").with("loss.pixel_weight=1.0e+0"), "subj01", false));
        // Networks that the model does not use have no effect.
        assertEquals(List.of(), resume(RECIPE.with("model.generator.cnn.hidden=3"), "subj01", false));
    }

    @ParameterizedTest
    @CsvSource({
        "optimizer.learning_rate, 0.05, 0.003",
        "optimizer.schedule, linear, cosine",
        "loss.pixel, mse, l1",
        "train.augment.shift, 0.1, 0",
        "train.shuffle_pairs, true, false"
    })
    void anotherLossOptimizerOrDataNeedConsent(String key, String now, String saved) {
        Recipe other = RECIPE.with(key + "=" + now);
        String difference = key + " is " + now + ", the checkpoint has " + saved;
        String message = refused(other, "subj01", false).replaceAll("\"", "");
        assertEquals(
                checkpoint + ": cannot be resumed: " + difference
                        + ". Resume with the checkpoint's values, start a new run, or accept these with train --allow-changes",
                message);
        String said = resume(other, "subj01", true).get(0).replaceAll("\"", "");
        assertEquals("resumed with another value: " + difference, said);
    }

    @ParameterizedTest
    @ValueSource(strings = {"train.validation=0.21", "train.seed=7"})
    void anotherSplitIsRefusedAlways(String assignment) {
        String message = refused(RECIPE.with(assignment), "subj01", true);
        assertTrue(message.contains(assignment.replace("=", " is ") + ", the checkpoint has 0"), message);
        assertTrue(message.contains("Other images would be held out"), message);
    }

    @Test
    void moreEpochsAreToldWithTheJumpOfTheRate() {
        // Half a cosine to 0.01 * 0.003 over epoch 2 of 2; over epochs 2 to 4 of 4, of which a third is over.
        assertEquals(
                List.of(
                        "resumed with another value: train.epochs is 4, the checkpoint has 2",
                        String.format(
                                Locale.ROOT,
                                "the learning rate goes on at %.3g; by the checkpoint's recipe it would be 3.00e-05 here",
                                0.003 * (0.01 + 0.99 * 0.75))),
                resume(RECIPE.with("train.epochs=4"), "subj01", false));
        assertEquals(
                checkpoint + ": cannot be resumed: its run has come to epoch 2, but train.epochs is 1. Set train.epochs"
                        + " to at least 2, or start a new run",
                refused(RECIPE.with("train.epochs=1"), "subj01", true));
    }

    @Test
    void valuesWithoutInfluenceAreTold() {
        assertEquals(
                List.of(
                        "resumed with another value: train.checkpoint_steps is 3, the checkpoint has 0",
                        "resumed with another value: train.patience is 5, the checkpoint has 0"),
                resume(RECIPE.with("train.patience=5").with("train.checkpoint_steps=3"), "subj01", false));
    }

    @Test
    void anotherSubjectIsRefused() {
        String message = refused(RECIPE, "subj02", true);
        assertTrue(message.contains("it is of 'subj01', but the data are of 'subj02'"), message);
        assertEquals(List.of(), resume(RECIPE, "", false));
    }

    /** The toy data with other responses to some images. */
    private static TrainingData changed(int from) {
        return new Forwarding("subj01") {
            @Override
            public void responses(int i, ByteBuffer into) {
                int at = into.position();
                super.responses(i, into);
                if (i >= from) into.putFloat(at + 4, into.getFloat(at + 4) + 0.25f);
            }
        };
    }

    @Test
    void otherResponsesNeedConsent() {
        int images = TrainerTest.TOY.count();
        for (int from : new int[] {0, images / 2}) {
            String message = assertThrows(InputException.class, () -> resume(RECIPE, changed(from), checkpoint, false))
                    .getMessage();
            String difference = "the training responses are others than those of the checkpoint: 1 of "
                    + (TrainerTest.TOY.leftVertices() + TrainerTest.TOY.rightVertices())
                    + " vertices have another mean";
            assertEquals(
                    checkpoint + ": cannot be resumed: " + difference
                            + ". Resume with the data of that run, start a new"
                            + " run, or accept these with train --allow-changes",
                    message);
            assertEquals(
                    List.of("resumed with other data: " + difference), resume(RECIPE, changed(from), checkpoint, true));
        }
        assertEquals(List.of(), resume(RECIPE, changed(images), checkpoint, false));
    }

    @Test
    void consentIsOfferedOnlyWhereItHelps() {
        for (boolean accepts : new boolean[] {false, true}) {
            String message = refused(RECIPE.with("train.batch=2"), "subj01", accepts);
            assertTrue(
                    message.contains("it is of a run with 6 steps per epoch and seed 0, not ")
                            && message.contains("train.batch is 2, the checkpoint has ")
                            && !message.contains("--allow-changes"),
                    message);
        }
        String message = refused(RECIPE.with("model.generator.vit.depth=3"), "subj01", false);
        assertEquals(
                checkpoint + ": cannot be resumed: its model is another: model.generator.vit.depth is 3, the"
                        + " checkpoint has 2. Resume with the recipe and the data of that run, or start a new run",
                message);
    }

    @Test
    void aCompleteRunHasNothingToDo(@TempDir Path folder) {
        try (Trainer t = new Trainer(RECIPE, new Forwarding("subj01"), CPU, folder)) {
            assertFalse(t.isComplete());
            t.run();
            assertTrue(t.isComplete());
        }
        try (Trainer t = new Trainer(RECIPE, new Forwarding("subj01"), CPU, folder)) {
            t.resume(checkpoint);
            assertFalse(t.isComplete(), "the other checkpoint becomes the last one");
            t.resume(RunFolder.last(folder));
            assertTrue(t.isComplete());
        }
    }

    @Test
    void modelsPredictTheSubjectThatTheyWereTrainedOn() {
        Path two = trained("subj02"), unknown = trained("");
        List<String> said = new ArrayList<>();
        assertEquals(
                List.of("subj01", "subj02", ""),
                List.of(checkpoint, two, unknown).stream()
                        .map(c -> Checkpoints.subject(c, "subj09"))
                        .toList());
        Checkpoints.requireSubject(List.of(two, unknown), "subj02", said::add);
        assertEquals(1, said.size());
        assertTrue(said.get(0).startsWith(unknown + " does not tell which subject"), said.get(0));
        InputException e = assertThrows(
                InputException.class, () -> Checkpoints.requireSubject(List.of(two, checkpoint), "subj02", said::add));
        assertTrue(
                e.getMessage().startsWith(checkpoint + ": was trained on 'subj01', not on 'subj02'"), e.getMessage());

        Path average = dir.resolve("average.safetensors");
        e = assertThrows(
                InputException.class, () -> ModelSoup.write(List.of(checkpoint, unknown, two), average, line -> {}));
        assertTrue(
                e.getMessage().startsWith(two + ": cannot be averaged: it was trained on 'subj02', but " + checkpoint),
                e.getMessage());
        assertFalse(Files.exists(average));
        ModelSoup.write(List.of(two, two), average, line -> {});
        assertEquals("subj02", Checkpoints.subject(average, ""));
        ModelSoup.write(List.of(two, unknown), average, line -> {});
        assertEquals("", Checkpoints.subject(average, ""));
    }

    @Test
    void oneTrainerAtATimeWritesToAFolder(@TempDir Path folder) {
        try (Trainer t = new Trainer(RECIPE, new Forwarding(""), CPU, folder)) {
            InputException e =
                    assertThrows(InputException.class, () -> new Trainer(RECIPE, new Forwarding(""), CPU, folder));
            assertTrue(e.getMessage().startsWith(folder + ": is in use by this process"), e.getMessage());
            new Trainer(RECIPE, new Forwarding(""), CPU, null).close();
            assertTrue(t.run());
        }
        new Trainer(RECIPE, new Forwarding(""), CPU, folder).close();
    }

    @Test
    void theCheckpointOfAnotherFolderBecomesTheLastOneAtOnce(@TempDir Path folder) throws Exception {
        try (Trainer t = new Trainer(RECIPE.with("train.epochs=3"), new Forwarding("subj01"), CPU, folder)) {
            t.resume(checkpoint);
            t.requestStop();
            assertFalse(t.run());
        }
        try (SafeTensors a = SafeTensors.open(checkpoint);
                SafeTensors b = SafeTensors.open(RunFolder.last(folder))) {
            assertEquals(a.metadata().get("cortigan.state"), b.metadata().get("cortigan.state"));
            assertEquals(a.names(), b.names());
            for (String n : a.names()) assertArrayEquals(a.floats(n), b.floats(n), n);
        }
    }

    @Test
    void theBestCheckpointOfAnotherRunIsReplaced(@TempDir Path folder) throws Exception {
        try (Trainer t = new Trainer(RECIPE.with("train.seed=3"), new Forwarding("subj01"), CPU, folder)) {
            t.run();
        }
        byte[] other = Files.readAllBytes(RunFolder.best(folder));
        try (Trainer t = new Trainer(RECIPE.with("train.epochs=3"), new Forwarding("subj01"), CPU, folder)) {
            t.resume(checkpoint);
            t.run();
        }
        assertFalse(Arrays.equals(other, Files.readAllBytes(RunFolder.best(folder))));
        // Of the best checkpoint of this run, the best stays the best.
        Path copy = folder.resolve("copy.safetensors");
        Files.copy(RunFolder.best(folder), copy);
        double best = Checkpoint.state(copy).orElseThrow().best();
        try (Trainer t = new Trainer(RECIPE.with("train.epochs=3"), new Forwarding("subj01"), CPU, folder)) {
            t.resume(copy);
            t.requestStop();
            t.run();
        }
        assertEquals(
                best, Checkpoint.state(RunFolder.last(folder)).orElseThrow().best());
    }

    /** A kill, as an error of a listener: before the files of the run change, and after they have. */
    private static void die(Path folder, Path from, boolean early) {
        Recipe r = RECIPE.with("train.epochs=3");
        try (Trainer t = new Trainer(r, new Forwarding("subj01"), CPU, folder)) {
            t.resume(from);
            TrainerListener kill = new TrainerListener() {
                @Override
                public void begin() {
                    throw new IllegalStateException("killed");
                }
            };
            if (early) t.addListener(kill);
            try (RunFolder f = new RunFolder(folder, r, CPU, Map.of(), t.step())) {
                t.addListener(f);
                t.addListener(kill);
                assertThrows(IllegalStateException.class, t::run);
            }
        }
    }

    private static void copy(Path from, Path to) {
        try {
            Files.copy(from, to);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long lastStep(Path folder) {
        return Checkpoint.state(RunFolder.last(folder)).orElseThrow().step();
    }

    private static List<String> steps(Path folder) throws Exception {
        return Files.readAllLines(folder.resolve("metrics.csv")).stream()
                .skip(1)
                .map(line -> line.split(",")[1])
                .toList();
    }

    @Test
    void aKilledStartFromAnEarlierStepLeavesFilesOfOneRun(@TempDir Path folder) throws Exception {
        Path mid = folder.resolve("mid.safetensors");
        try (Trainer t = new Trainer(RECIPE, new Forwarding("subj01"), CPU, folder);
                RunFolder f = new RunFolder(folder, RECIPE, CPU, Map.of(), 0)) {
            t.addListener(f);
            t.addListener(Listeners.onEpoch(e -> {
                if (e.epoch() == 2) copy(RunFolder.last(folder), mid);
            }));
            t.run();
        }
        byte[] last = Files.readAllBytes(RunFolder.last(folder)), best = Files.readAllBytes(RunFolder.best(folder));
        assertEquals(List.of("6", "12"), steps(folder));
        // Before the checkpoint is replaced nothing is.
        new RunFolder(folder, RECIPE.with("train.patience=9"), CPU, Map.of(), 6).close();
        assertEquals(List.of("6", "12"), steps(folder));
        assertArrayEquals(last, Files.readAllBytes(RunFolder.last(folder)));
        assertArrayEquals(best, Files.readAllBytes(RunFolder.best(folder)));
        // Afterwards the checkpoint is never of a later step than metrics.csv.
        die(folder, mid, true);
        assertEquals(6, lastStep(folder));
        assertEquals(List.of("6", "12"), steps(folder));
        die(folder, RunFolder.last(folder), false);
        assertEquals(6, lastStep(folder));
        assertEquals(List.of("6"), steps(folder));
    }

    @Test
    void anInterruptedRunContinuesFromItsLastCheckpoint(@TempDir Path run) throws Exception {
        assertNull(Checkpoints.toResume(run));
        Files.copy(checkpoint, RunFolder.best(run));
        assertEquals(RunFolder.best(run), Checkpoints.toResume(run));
        Files.copy(checkpoint, RunFolder.last(run));
        assertEquals(RunFolder.last(run), Checkpoints.toResume(run));
        for (int bytes : new int[] {0, 500}) {
            Files.write(RunFolder.last(run), Arrays.copyOf(Files.readAllBytes(checkpoint), bytes));
            InputException e = assertThrows(InputException.class, () -> Checkpoints.toResume(run));
            assertTrue(
                    e.getMessage().contains("last.safetensors")
                            && e.getMessage().contains("continue from " + RunFolder.best(run)),
                    e.getMessage());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"torch", "step"})
    void validationAndPredictionLeaveSpectralNormAlone(String spectral, @TempDir Path folder) throws Exception {
        Recipe r = TrainerTest.recipe("model.discriminator.spectral_norm=" + spectral, "train.epochs=1");
        Map<String, float[]> beforeValidation = new TreeMap<>();
        try (Trainer t = new Trainer(r, TrainerTest.TOY, CPU, folder)) {
            List<String> vectors = t.variables().stream()
                    .filter(v -> v.endsWith(".u") || v.endsWith(".v"))
                    .toList();
            assertFalse(vectors.isEmpty());
            t.addListener(Listeners.onStep((step, loss) -> {
                if (step == t.steps()) for (String v : vectors) beforeValidation.put(v, t.variable(v));
            }));
            double[] meanR = {Double.NaN};
            t.addListener(Listeners.onEpoch(e -> {
                meanR[0] = e.validationMeanR();
            }));
            t.run();
            assertFalse(Double.isNaN(meanR[0]));
            assertEquals(vectors.size(), beforeValidation.size());
        }
        Path last = RunFolder.last(folder);
        byte[] bytes = Files.readAllBytes(last);
        try (SafeTensors t = SafeTensors.open(last)) {
            beforeValidation.forEach((v, values) -> assertArrayEquals(values, t.floats(v), v));
        }
        try (Predictor p = Model.load(last).evaluator(CPU, 8, "")) {
            for (int i = 0; i < 2; i++) Ensemble.evaluate(p, TrainerTest.TOY, new int[] {1, 2, 3});
        }
        assertArrayEquals(bytes, Files.readAllBytes(last));
    }
}
