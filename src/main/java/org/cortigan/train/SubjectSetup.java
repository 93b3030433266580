// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.cortex.Region;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Recompute;
import org.cortigan.graph.Graph;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Discriminator;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.ResponseScaling;

/**
 * The data and settings of a subject, before the run allocates device memory.
 *
 * @param regions vertices of each discriminator; empty without discriminators
 * @param cachesFeatures whether the frozen part of the steps is computed once
 * @param layout the vertices in the order in which they lie along the grid of a readout that denoises; empty for others
 */
record SubjectSetup(
        ModelConfig.Subject subject,
        TrainingData data,
        ImageSplit split,
        List<Region> regions,
        StepSettings settings,
        boolean cachesFeatures,
        int[] layout) {
    /**
     * Splits the data and finds the regions. A subject with fewer training images than {@code train.batch} takes all of
     * them in every step, and one with too few for {@code train.accumulate} batches takes fewer batches.
     *
     * @param log receives messages about the data
     * @throws org.cortigan.InputException if no image is left for training, or the data lack the regions
     */
    static SubjectSetup of(
            Recipe recipe,
            TrainSettings train,
            StepSettings settings,
            ModelConfig.Subject subject,
            TrainingData data,
            Consumer<String> log) {
        ImageSplit split = ImageSplit.of(recipe, data.count());
        int images = split.training().length;
        if (images == 0)
            throw train.wrong(
                    "validation",
                    "leaves none of the " + data.count() + " images for training",
                    "Set it lower, or give more images");
        List<Region> regions =
                settings.trainedDiscriminator().map(d -> regions(d, data, log)).orElse(List.of());
        int[] layout = settings.model()
                .generator()
                .diffusion()
                .map(d -> VertexCells.order(d, data, log))
                .orElse(new int[0]);
        SubjectSetup setup =
                new SubjectSetup(subject, data, split, regions, settings, FrozenPart.isWanted(train, settings), layout);
        String name = subject.name().isEmpty() ? "" : subject.name() + ": ";
        int ranks = settings.shard().ranks(), batch = setup.batch(train);
        if (batch % ranks != 0)
            throw train.wrong(
                    "batch",
                    name + "the " + batch + " photographs of a batch cannot be divided equally among " + ranks
                            + " ranks",
                    batch < ranks
                            ? "Start fewer ranks"
                            : "Set it to " + batch / ranks * ranks + ", or start another number of ranks");
        int batches = setup.microBatches(train);
        if (train.batch() > images)
            log.accept(name + "every step takes all " + images + " training images, which are fewer than train.batch: "
                    + train.batch());
        else if (batches < train.accumulate())
            log.accept(name + "every step takes " + batches + " batches of train.batch: " + train.batch() + ", not "
                    + train.accumulate() + " (train.accumulate): there are " + images + " training images");
        return setup;
    }

    private static List<Region> regions(Discriminator d, TrainingData data, Consumer<String> log) {
        Path mesh = d.mesh().isEmpty() ? null : InputFiles.path(d.mesh());
        return data.regions(d.regions(), d.order(), mesh, d.least(), log);
    }

    int vertices() {
        return subject.vertices();
    }

    /** The scaling of the training responses; a network that adds noise to them needs unit variance of each vertex. */
    ResponseScaling scaling(Consumer<String> log) {
        boolean each = settings.model().generator().diffusion().isPresent();
        return StandardisedResponses.scaling(data, split.training(), each, log);
    }

    /** Writes where the vertices lie on the grid, if the readout denoises responses. */
    void writeCells(Variables vars) {
        settings.model().generator().diffusion().ifPresent(d -> VertexCells.write(d, subject.name(), layout, vars));
    }

    /** Photographs in a micro-batch that this rank has. */
    int share(TrainSettings train) {
        return batch(train) / settings.shard().ranks();
    }

    /** Photographs in a micro-batch, of all ranks. */
    int batch(TrainSettings train) {
        return Math.min(train.batch(), split.training().length);
    }

    /** Micro-batches in a step. */
    int microBatches(TrainSettings train) {
        return Math.min(train.accumulate(), split.training().length / batch(train));
    }

    /** The graph of a step; all training data are inputs if they are resident. */
    StepGraph step(TrainSettings train, boolean resident) {
        int all = resident ? split.training().length : 0;
        return new StepGraph(settings, subject, regions, share(train), microBatches(train), all);
    }

    /** The frozen part of a step; empty if it is not computed once. */
    Optional<FrozenPart> frozen(TrainSettings train) {
        if (!cachesFeatures) return Optional.empty();
        return Optional.of(new FrozenPart(settings, subject, regions, share(train)));
    }

    /**
     * The graph that a session runs for a step, with recomputation if that is on.
     *
     * @param frozen part of the step that it leaves out
     */
    static Graph program(StepGraph step, Optional<FrozenPart> frozen, TrainSettings.Recomputation recompute) {
        Graph g = frozen.map(f -> f.step(step)).orElseGet(step::graph);
        return recompute == TrainSettings.Recomputation.CHEAP ? Recompute.cheap(g) : g;
    }

    /** A hash of the regions, of 48 bits, which a JSON number represents exactly. */
    long fingerprint() {
        long hash = 0;
        for (Region r : regions) hash = hash * 31 + r.name().hashCode() * 31L + Arrays.hashCode(r.vertices());
        return hash & 0xffffffffffffL;
    }
}
