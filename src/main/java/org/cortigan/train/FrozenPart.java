// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.cortigan.cortex.Region;
import org.cortigan.grad.FixedPrefix;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.model.ModelConfig;
import org.cortigan.nn.Lora;
import org.cortigan.op.GatherRows;
import org.jspecify.annotations.Nullable;

/**
 * What the frozen part of a subject's step computes of a photograph, as graphs: that part alone, and the step and the
 * prediction with its values as an input. The features are all these values, E numbers for each photograph.
 */
final class FrozenPart {
    /** Name of the output [B, E] of {@link #alone}. */
    static final String FEATURES = "features";

    /** Photographs in a batch of {@link #alone}, at most, so that larger batches of steps share their features. */
    private static final int BATCH = 32;

    private final StepSettings settings;
    private final ModelConfig.Subject subject;
    private final List<Region> regions;
    private final int batch;
    private final FixedPrefix prefix;

    /** @param batch photographs in a batch of a step */
    FrozenPart(StepSettings settings, ModelConfig.Subject subject, List<Region> regions, int batch) {
        this.settings = settings;
        this.subject = subject;
        this.regions = regions;
        this.batch = batch;
        prefix = prefix(batch);
    }

    /** In f32, whatever the step computes in. */
    private FixedPrefix prefix(int photographs) {
        StepGraph step = new StepGraph(settings.inF32(), subject, regions, photographs, 0);
        return FixedPrefix.of(step.graph(), step.seenPhotographs());
    }

    /**
     * Whether the features are computed once.
     *
     * @throws org.cortigan.InputException if the recipe says so, but they change from step to step
     */
    static boolean isWanted(TrainSettings train, StepSettings settings) {
        TrainSettings.FeatureCaching wanted = train.cacheFeatures();
        if (wanted == TrainSettings.FeatureCaching.NO) return false;
        String[] obstacle = obstacle(train, settings);
        if (obstacle == null) return true;
        if (wanted == TrainSettings.FeatureCaching.YES)
            throw train.wrong("cache_features", "yes " + obstacle[0], obstacle[1] + ", or use auto or no");
        return false;
    }

    /** Why the features change from step to step, and the remedy; null if they do not. */
    private static String @Nullable [] obstacle(TrainSettings train, StepSettings settings) {
        if (!settings.freeze().isOn())
            return new String[] {"needs frozen parameters, and train.freeze is none", "Set train.freeze to backbone"};
        if (train.augmentation().isOn())
            return new String[] {
                "does not go with train.augment, which changes the photographs", "Set the values of train.augment to 0"
            };
        if (settings.fp8().isPresent())
            return new String[] {"does not go with fp8, whose scales change the features", "Set train.precision to bf16"
            };
        boolean lowRank =
                settings.model().generatorWeights(DType.F32).specs().stream().anyMatch(s -> Lora.isUpdate(s.name()));
        if (lowRank)
            return new String[] {
                "does not go with low-rank updates, which change the features", "Set the rank of the updates to 0"
            };
        return null;
    }

    /** Numbers for each photograph. */
    int elements() {
        return prefix.elements();
    }

    /** Photographs in a batch of {@link #alone}. */
    int batchAlone() {
        return Math.min(BATCH, batch);
    }

    /** The frozen part alone, in f32: photographs, u8 [B, S, S, 3], to features [B, E]. */
    Graph alone() {
        return prefix(batchAlone()).alone(FEATURES);
    }

    /** A step on features in its compute type, gathered as the step gathers its photographs. */
    Graph step(StepGraph step) {
        FixedPrefix own = FixedPrefix.of(step.graph(), step.seenPhotographs());
        if (!own.widths().equals(prefix.widths()))
            throw new IllegalStateException("features " + own.widths() + " instead of " + prefix.widths());
        Map<String, Value> inputs = new HashMap<>();
        return own.rest((to, photographs, copy) -> features(to, photographs, copy, settings.compute(), inputs));
    }

    /** A prediction of {@code batch} photographs, in f32, on features. */
    Graph prediction(Graph g) {
        Map<String, Value> inputs = new HashMap<>();
        return prefix.restOf(g, (to, photographs, copy) -> features(to, photographs, copy, DType.F32, inputs));
    }

    /** @param inputs features in the new graph, by the name of the photographs in the old one */
    private Value features(
            Graph to, Value photographs, UnaryOperator<Value> copy, DType type, Map<String, Value> inputs) {
        Node n = photographs.node();
        if (n.op() instanceof GatherRows rows)
            return to.apply(rows, features(to, n.input(0), copy, type, inputs), copy.apply(n.input(1)))
                    .output(0);
        String name = ((Leaf.Input) n.op()).id();
        StepInput input = name.equals(StepInput.ALL_IMAGES.key()) ? StepInput.ALL_FEATURES : StepInput.FEATURES;
        return inputs.computeIfAbsent(name, k -> to.input(input.key(), type, photographs.dim(0), elements()));
    }
}
