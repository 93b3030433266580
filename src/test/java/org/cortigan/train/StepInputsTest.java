// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.Leaf;
import org.cortigan.model.ModelConfig;
import org.cortigan.op.Dropout;
import org.junit.jupiter.api.Test;

class StepInputsTest {
    private static final CpuDevice CPU = CpuDevice.best(1);

    private static StepGraph step(String subject, int resident, String... options) {
        ModelConfig.Subject s = new ModelConfig.Subject(subject, 9, 11);
        StepSettings settings = StepSettings.of(TrainerTest.recipe(options), List.of(s), Precision.FP32);
        return new StepGraph(settings, s, Regions.of("hemisphere", Regions.Order.STORED, 9, 11), 4, resident);
    }

    private static List<StepGraph> kinds() {
        return List.of(
                step("", 0),
                step("subj01", 0),
                step("", 30),
                step("subj01", 30, "loss.gan_weight=0"),
                step("", 0, "model.discriminator.type=none", "model.generator.dropout=0.5"),
                step("subj01", 30, DiffusionTrainingTest.SMALL.toArray(new String[0])));
    }

    @Test
    void everyInputOfAStepIsNamed() {
        Set<StepInput> seen = EnumSet.noneOf(StepInput.class);
        for (StepGraph step : kinds()) {
            Set<String> inGraph = step.graph().nodes().stream()
                    .filter(n -> n.op() instanceof Leaf.Input)
                    .map(n -> ((Leaf.Input) n.op()).id())
                    .collect(Collectors.toSet());
            assertEquals(inGraph, step.inputs().stream().map(StepInput::key).collect(Collectors.toSet()));
            seen.addAll(step.inputs());
        }
        // FreezeTest has the steps on features.
        seen.addAll(Set.of(StepInput.FEATURES, StepInput.ALL_FEATURES));
        assertEquals(EnumSet.allOf(StepInput.class), seen);
    }

    @Test
    void everyOutputExceptUpdatesIsNamed() {
        Set<StepOutput> seen = EnumSet.noneOf(StepOutput.class);
        for (StepGraph step : kinds()) {
            List<String> inGraph = step.graph().outputs().keySet().stream()
                    .filter(n -> !n.startsWith("updated."))
                    .toList();
            assertEquals(inGraph, step.outputs().stream().map(StepOutput::key).toList());
            seen.addAll(step.outputs());
        }
        assertEquals(EnumSet.allOf(StepOutput.class), seen);
    }

    @Test
    void everyKindOfStepHasTheInputsThatAreWritten() {
        for (StepGraph step : kinds())
            try (Variables vars = new Variables(CPU);
                    Session s = new Session(step.graph(), CPU, vars)) {
                StepInputs in = new StepInputs(step, step.inputs(), s);
                in.writeGenerator(1, 2, 3, 4);
                in.writeHeadUpdate(5);
                in.writeDiscriminators(6, 7, 8);
                in.writeDropout(9, 10);
                in.writeNoise(5L << 32 | 6);
                assertEquals(4, s.input("t.g").get(0));
                assertEquals(step.hasOwnHead(), s.hasInput("t.head"));
                if (step.hasOwnHead()) assertEquals(5, s.input("t.head").get(0));
                assertEquals(step.adversarial(), s.hasInput("t.d"));
                if (step.adversarial()) assertEquals(8, s.input("t.d").get(0));
                assertEquals(step.hasNoise(), s.hasInput("noise.key"));
                if (step.hasNoise())
                    assertEquals(
                            List.of(6.0, 5.0),
                            List.of(
                                    s.input("noise.key").get(0),
                                    s.input("noise.key").get(1)));
                assertEquals(step.hasDropout(), s.hasInput(Dropout.KEY));
                if (step.hasDropout()) {
                    long key = RandomKey.of(9, 10);
                    assertEquals((int) key, s.input(Dropout.KEY).get(0));
                    assertEquals((int) (key >> 32), s.input(Dropout.KEY).get(1));
                }
            }
    }

    @Test
    void aSessionOfAnotherStepIsRefusedBeforeAnythingIsWritten() {
        StepGraph adversarial = step("", 0), other = step("", 0, "loss.gan_weight=0");
        try (Variables vars = new Variables(CPU);
                Session s = new Session(other.graph(), CPU, vars)) {
            s.input("lr.g").fill(7);
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class, () -> new StepInputs(adversarial, adversarial.inputs(), s));
            assertTrue(e.getMessage().contains("gan.weight"), e.getMessage());
            assertEquals(7, s.input("lr.g").get(0));
        }
    }
}
