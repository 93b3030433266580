// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.cortigan.InputException;
import org.cortigan.eval.RowSource;
import org.cortigan.exec.Variables;
import org.cortigan.jni.Memory;
import org.cortigan.model.Generator;
import org.cortigan.ridge.LearnedPrior;
import org.jspecify.annotations.Nullable;

/**
 * Weights of dense readouts by empirical Bayes ({@link LearnedPrior}), on the features of the training photographs. A
 * run whose readouts begin with them begins where a regression ends.
 */
final class FittedReadout {
    /** Fewest training photographs of a subject. */
    static final int LEAST_IMAGES = 3;

    private final List<SubjectSteps> subjects;
    private final LearnedPrior fit;
    private final int features;

    private FittedReadout(List<SubjectSteps> subjects, LearnedPrior fit, int features) {
        this.subjects = subjects;
        this.fit = fit;
        this.features = features;
    }

    /**
     * Fits the readouts of all subjects, on rank 0; the other ranks only compute their part of the features. Under
     * {@code train.shuffle_pairs} each photograph has the responses to another one.
     *
     * @return empty on other ranks
     * @throws InputException if features or responses are not finite
     */
    static Optional<FittedReadout> of(List<SubjectSteps> subjects, Variables vars, TrainSettings train) {
        List<FeatureTable> tables = new ArrayList<>();
        try {
            List<LearnedPrior.Sample> samples = new ArrayList<>();
            for (SubjectSteps s : subjects) {
                int n = s.setup().split().training().length;
                int[] partner =
                        train.shufflePairs() ? Permutations.derangement(n, train.seed()) : Permutations.identity(n);
                FeatureTable table = FeatureTable.of(s.setup(), vars, s.setup().share(train));
                if (table == null) continue;
                tables.add(table);
                samples.add(new LearnedPrior.Sample(
                        table, new Responses(s, partner), s.setup().data().roiOfVertex()));
            }
            if (!vars.device().runtime().ranks().isFirst()) return Optional.empty();
            int rank = subjects.get(0).setup().settings().model().generator().rank();
            LearnedPrior fit =
                    LearnedPrior.fit(samples, LearnedPrior.Options.defaults().withRank(rank));
            return Optional.of(new FittedReadout(subjects, fit, tables.get(0).columns()));
        } finally {
            tables.forEach(FeatureTable::close);
        }
    }

    /** The features [N, F] of a subject's training photographs, outside the Java heap. */
    private static final class FeatureTable implements RowSource, AutoCloseable {
        private final int rows, columns;
        private final Memory memory;

        private FeatureTable(int rows, int columns) {
            this.rows = rows;
            this.columns = columns;
            memory = Memory.allocate((long) rows * columns * Float.BYTES);
        }

        /** Null on all ranks but the first. */
        static @Nullable FeatureTable of(SubjectSetup setup, Variables vars, int batch) {
            @Nullable
            FeatureTable[] table = new FeatureTable[1]; // Made by the first batch, which tells the number of features.
            try {
                ForwardPass.forEachBatch(
                        setup,
                        vars,
                        batch,
                        (w, images) -> setup.settings()
                                .model()
                                .generator()
                                .features(w, images, setup.subject().name()),
                        (first, images, values) -> {
                            // Only rank 0 fits; the others have computed their part.
                            if (!vars.device().runtime().ranks().isFirst()) return;
                            int columns = values.length / batch;
                            if (table[0] == null)
                                table[0] = new FeatureTable(setup.split().training().length, columns);
                            table[0].values(first, images).put(values, 0, images * columns);
                        });
            } catch (RuntimeException | Error e) {
                if (table[0] != null) table[0].close();
                throw e;
            }
            return table[0];
        }

        private FloatBuffer values(int first, int count) {
            long row = (long) columns * Float.BYTES;
            return memory.view(first * row, count * row)
                    .order(ByteOrder.nativeOrder())
                    .asFloatBuffer();
        }

        @Override
        public int rows() {
            return rows;
        }

        @Override
        public int columns() {
            return columns;
        }

        @Override
        public void read(int first, int count, float[] into) {
            Objects.checkFromIndexSize(first, count, rows);
            values(first, count).get(into, 0, count * columns);
        }

        @Override
        public void close() {
            memory.close();
        }
    }

    /**
     * The responses [N, V] to a subject's training photographs, as the network learns them.
     *
     * @param partner for each training photograph the one whose responses it has
     */
    private record Responses(SubjectSteps subject, int[] partner) implements RowSource {
        @Override
        public int rows() {
            return partner.length;
        }

        @Override
        public int columns() {
            return subject.setup().vertices();
        }

        @Override
        public void read(int first, int count, float[] into) {
            TrainingData learned = subject.learned();
            int vertices = columns();
            ByteBuffer row = ByteBuffer.allocate(Float.BYTES * vertices).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < count; i++) {
                int image = subject.setup().split().training()[partner[first + i]];
                learned.responses(image, row.clear());
                row.flip().asFloatBuffer().get(into, i * vertices, vertices);
                for (int v = 0; v < vertices; v++)
                    if (!Float.isFinite(into[i * vertices + v])) throw notFinite(image, v, into[i * vertices + v]);
            }
        }

        private InputException notFinite(int image, int vertex, float value) {
            String name = subject.subject().name();
            return new InputException(
                    (name.isEmpty() ? "" : name + ", ") + "training image " + image,
                    "the response of vertex " + vertex + " is " + value + ", and a readout cannot be fitted to it",
                    "Leave the image out, or set train.initial_readout to random");
        }
    }

    /** Writes the weights. */
    void write(Variables vars, Initialiser initialiser) {
        float[] projection = fit.projection();
        float unit = unit(projection);
        // Combinations beyond those that the images span keep their random weights, from which training may go on.
        float[] combinations = vars.find(Generator.RANK_WEIGHT).toFloats();
        for (int i = 0; i < fit.components() * features; i++) combinations[i] = projection[i] / unit;
        initialiser.set(Generator.RANK_WEIGHT, combinations);
        for (int s = 0; s < subjects.size(); s++) {
            String readout = Generator.readoutOf(subjects.get(s).subject().name());
            float[] weights = fit.weights(s);
            for (int i = 0; i < weights.length; i++) weights[i] *= unit;
            initialiser.set(readout + "weight", weights);
            initialiser.set(readout + "bias", fit.bias(s));
        }
    }

    /**
     * The factor that gives the combinations of F features the root mean square weight 1 / sqrt(F), a usual initial
     * weight, because the optimizer's steps have the same size for all weights.
     */
    private float unit(float[] projection) {
        double squares = 0;
        for (float p : projection) squares += (double) p * p;
        return squares == 0 ? 1 : (float) Math.sqrt(squares / fit.components());
    }

    /** The fit in words, for the log. */
    String summary() {
        int fitted = 0, heldOut = 0;
        for (SubjectSteps s : subjects) {
            fitted += s.setup().split().training().length;
            heldOut += s.setup().split().validation().length;
        }
        String all = heldOut > 0 ? " (train.validation=0 would fit all " + (fitted + heldOut) + ")" : "";
        return "the initial readout is fitted to " + fitted + " training images" + all + ": " + fit.components()
                + " combinations of " + features + " features, a prior after " + fit.iterations() + " steps";
    }
}
