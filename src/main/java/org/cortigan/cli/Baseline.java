// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.FeatureModel;
import org.cortigan.experiment.RidgeExperiment;
import org.cortigan.io.Json;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.train.HeldOut;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "baseline",
        description = "Evaluates the field's baseline: ridge regression for each vertex on principal components of"
                + " standardised features.",
        mixinStandardHelpOptions = true)
final class Baseline implements Callable<Integer> {
    private static final int BATCH = 32;

    @Mixin
    private Output output;

    @Mixin
    private SubjectOptions subjectOptions;

    @Mixin
    private CeilingOptions ceiling;

    @Mixin
    private DeviceOptions device;

    @Option(
            names = "--features",
            defaultValue = "pixels",
            paramLabel = "WHAT",
            description =
                    "pixels; or a run folder or checkpoint, for the features that its head reads; or, with --recipe,"
                            + " a ViT's safetensors file (default ${DEFAULT-VALUE}).")
    private String features;

    @Option(
            names = "--recipe",
            paramLabel = "RECIPE",
            description = "Recipe that gives the shape of the ViT in --features.")
    private @Nullable String recipe;

    @Option(
            names = "--components",
            defaultValue = "100",
            paramLabel = "N",
            description = "Principal components (default ${DEFAULT-VALUE}).")
    private int components;

    @Option(
            names = "--held-out",
            paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out).")
    private @Nullable Path heldOut;

    @Option(names = "--out", paramLabel = "DIR", description = "Folder to write the evaluation to.")
    private @Nullable Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() {
        if (components < 1) throw new InputException("--components " + components, "is too small", "Give at least 1");
        try (AlgonautsSubject subject = subjectOptions.open()) {
            Evaluation evaluation = features.equals("pixels") ? onPixels(subject) : onFeatures(subject);
            if (out != null) {
                RunFolder.create(out);
                evaluation.write(out);
            }
            output.line("%s", json ? Json.pretty(evaluation.json()).strip() : evaluation.table());
        }
        return 0;
    }

    private Evaluation onPixels(AlgonautsSubject subject) {
        try (SubjectData training = training(subject, RidgeExperiment.IMAGE_SIZE);
                HeldOut test = test(subject, RidgeExperiment.IMAGE_SIZE)) {
            return ridge(subject).onPixels(training, test, "test split");
        }
    }

    private Evaluation onFeatures(AlgonautsSubject subject) {
        Model model = model(subject);
        int size = model.config().generator().image();
        try (SubjectData training = training(subject, size);
                HeldOut test = test(subject, size);
                Device opened = device.open(output);
                Predictor extractor = model.featureExtractor(opened, BATCH)) {
            return ridge(subject).onFeatures(extractor, features, training, test, "test split");
        }
    }

    private Model model(AlgonautsSubject subject) {
        Path file = Checkpoints.find(Path.of(features));
        return recipe == null
                ? Model.load(file)
                : FeatureModel.pretrained(file, Recipe.load(recipe), subject, output::note);
    }

    private RidgeExperiment ridge(AlgonautsSubject subject) {
        return new RidgeExperiment(subject, components, ceiling.unit());
    }

    private SubjectData training(AlgonautsSubject subject, int size) {
        return new SubjectData(subject, size, subjectOptions.data().cache(), output::note);
    }

    private HeldOut test(AlgonautsSubject subject, int size) {
        Path responses = subjectOptions.heldOut(heldOut);
        return new HeldOut(subject, responses, size, subjectOptions.data().cache(), output::note);
    }
}
