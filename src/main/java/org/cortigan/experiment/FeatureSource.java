// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.ImageCache;
import org.cortigan.eval.RowSource;
import org.cortigan.features.GaborPyramid;
import org.cortigan.io.NpyFile;
import org.cortigan.model.Predictor;
import org.cortigan.train.ImageFeatures;
import org.jspecify.annotations.Nullable;

/** Features of a subject's photographs for ridge regression. They are computed once, at the first use. */
public final class FeatureSource {
    /** Side of the averaged images whose pixels are features. */
    private static final int PIXELS = 32;

    private final String name;
    private final Once training;
    private final Once test;

    private FeatureSource(String name, Supplier<RowSource> training, Supplier<RowSource> test) {
        this.name = name;
        this.training = new Once(training);
        this.test = new Once(test);
    }

    /** A value that is computed at the first use. */
    private static final class Once {
        private final Supplier<RowSource> compute;
        private @Nullable RowSource value;

        Once(Supplier<RowSource> compute) {
            this.compute = compute;
        }

        RowSource get() {
            if (value == null) value = compute.get();
            return value;
        }
    }

    /** Name in labels. */
    public String name() {
        return name;
    }

    /** Features of all training photographs. */
    public RowSource training() {
        return training.get();
    }

    /** Features of all test photographs. */
    public RowSource test() {
        return test.get();
    }

    /**
     * Photographs of a subject, decoded once.
     *
     * @param cache folder of decoded photographs
     * @param log receives messages for the user
     */
    public record Photographs(AlgonautsSubject subject, Path cache, Consumer<String> log) {
        private RowSource compute(List<Path> files, int size, Function<ImageCache, RowSource> features) {
            try (ImageCache photographs = ImageCache.open(cache, files, size, log)) {
                return features.apply(photographs);
            }
        }

        private FeatureSource features(String name, int size, Function<ImageCache, RowSource> features) {
            return new FeatureSource(
                    name,
                    () -> compute(subject.trainingImages(), size, features),
                    () -> compute(subject.testImages(), size, features));
        }
    }

    /** Pixels, averaged to 32 x 32: 3,072 features. */
    public static FeatureSource pixels(Photographs photographs) {
        return photographs.features("pixels", 2 * PIXELS, images -> ImageFeatures.pixels(images, PIXELS));
    }

    /** The standard Gabor wavelet pyramid: 4,800 features. */
    public static FeatureSource gabor(Photographs photographs) {
        return gabor(photographs, new GaborPyramid(GaborPyramid.STANDARD_SIDE, GaborPyramid.Response.AMPLITUDE));
    }

    /** The standard pyramid with logarithms of the energies, which compress contrast as visual neurons do. */
    public static FeatureSource gaborLog(Photographs photographs) {
        return gabor(photographs, new GaborPyramid(GaborPyramid.STANDARD_SIDE, GaborPyramid.Response.LOG));
    }

    /** A Gabor wavelet pyramid. */
    public static FeatureSource gabor(Photographs photographs, GaborPyramid pyramid) {
        return photographs.features(name(pyramid), pyramid.side(), images -> ImageFeatures.gabor(images, pyramid));
    }

    private static String name(GaborPyramid pyramid) {
        String response = pyramid.response().name().toLowerCase(Locale.ROOT);
        return "gabor"
                + (pyramid.response() == GaborPyramid.Response.AMPLITUDE ? "" : " " + response)
                + (pyramid.side() == GaborPyramid.STANDARD_SIDE ? "" : " of " + pyramid.side() + " pixels");
    }

    /**
     * The features that the head of a network reads.
     *
     * @param extractor is used until all features are computed
     * @param size side of the network's images, in pixels
     */
    public static FeatureSource network(String name, Predictor extractor, int size, Photographs photographs) {
        return photographs.features(name, size, images -> ImageFeatures.of(extractor, images));
    }

    /**
     * Features from npy files of numbers [images, features], which are read at the first use.
     *
     * @param training features of the training photographs, in their order
     * @param test features of the test photographs, in their order
     */
    public static FeatureSource files(Path training, Path test, AlgonautsSubject subject) {
        return new FeatureSource(
                training.getFileName().toString(),
                () -> read(training, subject.trainingImages().size(), "training"),
                () -> readTest(test, training, subject));
    }

    private static RowSource readTest(Path test, Path training, AlgonautsSubject subject) {
        if (!Files.exists(test))
            throw new InputException(
                    test.toString(),
                    "does not exist; it would have the test images' features to " + training,
                    "Write it, name another file with --test-features, or evaluate on --split validation");
        RowSource features = read(test, subject.testImages().size(), "test");
        int want;
        try (NpyFile file = NpyFile.open(training)) {
            want = file.rowElements();
        }
        if (features.columns() != want)
            throw new InputException(
                    test.toString(),
                    "has " + features.columns() + " features of an image, but " + training + " has " + want,
                    "Compute the features of training and test images with the same settings");
        return features;
    }

    private static RowSource read(Path path, int images, String split) {
        try (NpyFile file = NpyFile.open(path)) {
            if (file.shape().length != 2 || file.rows() != images || file.rowElements() == 0)
                throw new InputException(
                        path.toString(),
                        "has the shape " + Arrays.toString(file.shape()) + ", not [" + images + ", features]",
                        "Give one row for each of the " + images + " " + split
                                + " images, in the order of their numbers, and at least one column");
            file.checkFloatKeeps("column");
            float[] values = file.toFloatArray();
            for (int i = 0; i < values.length; i++)
                if (!Float.isFinite(values[i]))
                    throw new InputException(
                            path + ", row " + i / file.rowElements() + ", column " + i % file.rowElements(),
                            "the feature is " + values[i] + ", not a finite number",
                            "Repair the file (rows and columns count from 0)");
            return RowSource.of(values, images, file.rowElements());
        }
    }
}
