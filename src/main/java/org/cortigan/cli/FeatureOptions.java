// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.FeatureModel;
import org.cortigan.experiment.FeatureSource;
import org.cortigan.features.GaborPyramid;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.train.PretrainedRecipe;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Options that name the features of a baseline. */
final class FeatureOptions {
    private static final String PIXELS = "pixels", GABOR = "gabor", AUTO = "auto", NPY = ".npy";
    private static final int BATCH = 32;
    private static final int MIN_SIDE = 32, MAX_SIDE = 128;

    @Mixin
    private DeviceOptions device;

    @Option(
            names = "--features",
            split = ",",
            defaultValue = GABOR,
            paramLabel = "WHAT",
            description = {
                "One or more, which are joined (default ${DEFAULT-VALUE}):",
                "  gabor: energies of a Gabor wavelet pyramid",
                "  pixels: averaged to 32 x 32",
                "  FILE.npy: features of the training images [images, features]",
                "  a run folder or checkpoint: the features that its head reads",
                "  a pre-trained ViT's safetensors file",
                "  auto, alone: the strongest standard setting by cross-validation on the training images"
            })
    private List<String> names;

    @Option(
            names = "--test-features",
            split = ",",
            paramLabel = "FILE.npy",
            description = "Features of the test images, one file for each npy file in --features (default: the file"
                    + " beside it with 'test' for 'train' in its name, or '_test' behind it).")
    private List<Path> testFiles = List.of();

    @Option(
            names = "--recipe",
            paramLabel = "RECIPE",
            description =
                    "Recipe that gives image side, colours and shape of the ViT in --features (default: the file's).")
    private @Nullable String recipe;

    @Option(
            names = "--gabor-side",
            defaultValue = "" + GaborPyramid.STANDARD_SIDE,
            paramLabel = "N",
            description = "Side of the images that gabor reads, in pixels (default ${DEFAULT-VALUE}).")
    private int gaborSide;

    @Option(
            names = "--gabor-response",
            defaultValue = "AMPLITUDE",
            paramLabel = "WHAT",
            description =
                    "amplitude sqrt(even^2 + odd^2), energy even^2 + odd^2, log of the energy, or linear: even and"
                            + " odd responses (default ${DEFAULT-VALUE}).")
    private GaborPyramid.Response gaborResponse;

    /** Whether the settings are to be chosen. */
    boolean isAuto() {
        return names.contains(AUTO);
    }

    /** Throws if the options do not fit together. */
    void check() {
        if (isAuto() && names.size() > 1)
            throw new InputException(
                    "--features " + String.join(",", names), "joins auto with others", "Give auto alone");
        if (new HashSet<>(names).size() < names.size())
            throw new InputException(
                    "--features " + String.join(",", names), "names the same features twice", "Name each once");
        if (gaborSide < MIN_SIDE || gaborSide > MAX_SIDE || gaborSide % GaborPyramid.SIDE_UNIT != 0)
            throw new InputException(
                    "--gabor-side " + gaborSide,
                    "is no multiple of " + GaborPyramid.SIDE_UNIT + " from " + MIN_SIDE + " to " + MAX_SIDE,
                    "Give " + GaborPyramid.STANDARD_SIDE + ", or another one");
        long files = names.stream().filter(n -> n.endsWith(NPY)).count();
        if (!testFiles.isEmpty() && testFiles.size() != files)
            throw new InputException(
                    "--test-features",
                    "names " + testFiles.size() + " files, --features " + files + " npy files",
                    "Give one test file for each npy file, in the same order");
        if (recipe != null && names.stream().noneMatch(FeatureOptions::isWeights))
            throw new InputException(
                    "--recipe " + recipe,
                    "needs a ViT's safetensors file in --features",
                    "Name it, or leave --recipe out");
        names.forEach(FeatureOptions::checkName);
    }

    private static boolean isWeights(String name) {
        return name.endsWith(".safetensors");
    }

    private static boolean isStandard(String name) {
        return List.of(PIXELS, GABOR, AUTO).contains(name);
    }

    private static void checkName(String name) {
        if (!isStandard(name) && !Files.exists(InputFiles.path(name)))
            throw new InputException(
                    "--features " + name,
                    "is no file or folder, nor gabor, pixels or auto",
                    "Give one of these, an npy file, a run or a checkpoint");
    }

    /** The checkpoints of trained networks in the options. */
    List<Path> runs() {
        return names.stream()
                .filter(n -> !isStandard(n) && !n.endsWith(NPY))
                .filter(n -> recipe == null || !isWeights(n))
                .map(n -> Checkpoints.find(InputFiles.path(n)))
                .filter(Model::isCheckpoint)
                .toList();
    }

    /** Features of a subject. Networks stay open until it is closed. */
    final class Opened implements AutoCloseable {
        private final FeatureSource.Photographs photographs;
        private final Output output;
        private final List<Predictor> networks = new ArrayList<>();
        private @Nullable Device opened;

        Opened(AlgonautsSubject subject, Path cache, Output output) {
            photographs = new FeatureSource.Photographs(subject, cache, output::note);
            this.output = output;
        }

        FeatureSource gabor() {
            return FeatureSource.gabor(photographs, new GaborPyramid(gaborSide, gaborResponse));
        }

        /** The pyramids among which auto chooses: the named response, and logarithms. */
        List<FeatureSource> gaborAlternatives() {
            return Stream.of(gaborResponse, GaborPyramid.Response.LOG)
                    .distinct()
                    .map(response -> FeatureSource.gabor(photographs, new GaborPyramid(gaborSide, response)))
                    .toList();
        }

        FeatureSource pixels() {
            return FeatureSource.pixels(photographs);
        }

        /** The sources that the options name. */
        List<FeatureSource> sources() {
            List<FeatureSource> sources = new ArrayList<>();
            int files = 0;
            for (String name : names)
                sources.add(
                        switch (name) {
                            case GABOR -> gabor();
                            case PIXELS -> pixels();
                            default -> name.endsWith(NPY) ? file(InputFiles.path(name), files++) : network(name);
                        });
            return sources;
        }

        private FeatureSource file(Path training, int index) {
            Path test = testFiles.isEmpty() ? beside(training) : testFiles.get(index);
            return FeatureSource.files(training, test, photographs.subject());
        }

        private FeatureSource network(String name) {
            Path file = Checkpoints.find(InputFiles.path(name));
            boolean isRun = recipe == null && Model.isCheckpoint(file) || !isWeights(name);
            Model model = isRun ? Model.load(file) : pretrained(file);
            Device on = opened == null ? opened = device.open(output) : opened;
            Predictor extractor = model.featureExtractor(on, BATCH);
            networks.add(extractor);
            return FeatureSource.network(
                    "features of " + name, extractor, model.config().generator().image(), photographs);
        }

        private Model pretrained(Path file) {
            Recipe r = recipe != null
                    ? Recipe.load(recipe)
                    : PretrainedRecipe.onBackbone(
                            Recipe.of("features", Map.of(), "defaults"), file, List.of(), output::note);
            return FeatureModel.pretrained(file, r, photographs.subject(), output::note);
        }

        @Override
        public void close() {
            networks.forEach(Predictor::close);
            if (opened != null) opened.close();
        }
    }

    Opened open(AlgonautsSubject subject, Path cache, Output output) {
        return new Opened(subject, cache, output);
    }

    /** The test features that belong to training features, by the file's name. */
    static Path beside(Path training) {
        String name = training.getFileName().toString();
        int at = name.lastIndexOf("train");
        String word = name.startsWith("training", Math.max(at, 0)) ? "training" : "train";
        return training.resolveSibling(
                at >= 0
                        ? name.substring(0, at) + "test" + name.substring(at + word.length())
                        : name.substring(0, name.length() - NPY.length()) + "_test" + NPY);
    }
}
