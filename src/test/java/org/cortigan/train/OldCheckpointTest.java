// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.CpuDevice;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Checkpoints of version 0.1, from runs of two epochs on {@link TrainerTest#TOY}, still work. */
class OldCheckpointTest {
    private static final CpuDevice CPU = CpuDevice.best(2);
    private static final int EPOCHS = 2;

    private static Path checkpoint(String name) {
        return Path.of("src/test/resources/checkpoints/0.1-" + name + ".safetensors");
    }

    private static Map<String, Object> state(Path file) {
        try (SafeTensors t = SafeTensors.open(file)) {
            return Json.object(Json.parse(t.metadata().get("cortigan.state"), "test"), "test");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vit-patch", "unet-vit", "cnn-conv"})
    void anOldCheckpointPredictsAsWellAsWhenItWasWritten(String name) {
        Path file = checkpoint(name);
        int[] heldOut = ImageSplit.of(Recipe.ofCheckpoint(file), TrainerTest.TOY.count())
                .validation();
        double then = Double.parseDouble((String) state(file).get("best"));
        try (Predictor p = Model.load(file).evaluator(CPU, 8, "")) {
            assertEquals(TrainerTest.TOY.leftVertices() + TrainerTest.TOY.rightVertices(), p.columns());
            double now =
                    Metrics.mean(Ensemble.evaluate(p, TrainerTest.TOY, heldOut).r());
            // another CPU sums f32 in another order
            assertEquals(then, now, 1e-4);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vit-patch", "unet-vit", "cnn-conv"})
    void aRunResumesFromAnOldCheckpointAndReachesItsEnd(String name, @TempDir Path folder) {
        Path file = checkpoint(name);
        Recipe longer = Recipe.ofCheckpoint(file).with("train.epochs", EPOCHS + 2);
        List<EpochResult> epochs = new ArrayList<>();
        try (Trainer t = new Trainer(longer, TrainerTest.TOY, CPU, folder)) {
            t.resume(file);
            assertEquals(EPOCHS * t.stepsPerEpoch(), t.step());
            t.addListener(Listeners.onEpoch(epochs::add));
            assertTrue(t.run());
            assertEquals(t.steps(), t.step());
        }
        assertEquals(2, epochs.size());
        for (EpochResult e : epochs) {
            assertEquals(0, e.skipped());
            assertFalse(Double.isNaN(e.validationMeanR()));
        }
        assertTrue(Model.load(RunFolder.last(folder)).parameters() > 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"vit-patch", "unet-vit", "cnn-conv"})
    void aCompleteRunHasNothingMoreToDo(String name) {
        Path file = checkpoint(name);
        try (Trainer t = new Trainer(Recipe.ofCheckpoint(file), TrainerTest.TOY, CPU, null)) {
            t.resume(file);
            assertEquals(t.steps(), t.step());
            assertTrue(t.run());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vit-patch", "unet-vit", "cnn-conv"})
    void theStateIsWrittenAsItWasRead(String name) {
        Map<String, Object> state = state(checkpoint(name));
        assertEquals(
                Json.compact(state), Json.compact(RunState.of(state, "test").toMap()));
    }
}
