// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.experiment.FeatureSource;
import org.cortigan.experiment.ModelEvaluator;
import org.cortigan.experiment.RidgeExperiment;
import org.cortigan.experiment.RidgeSearch;
import org.cortigan.experiment.RidgeSettings;
import org.cortigan.experiment.RidgeSplit;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Json;
import org.cortigan.train.ImageSplit;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "baseline",
        description =
                "Evaluates the field's yardstick: ridge regression of all vertices on features of the photographs.",
        mixinStandardHelpOptions = true)
final class Baseline implements Callable<Integer> {
    @Mixin
    private Output output;

    @Mixin
    private SubjectOptions subjectOptions;

    @Mixin
    private SignificanceOptions significance;

    @Mixin
    private CeilingOptions ceiling;

    @Mixin
    private FeatureOptions features;

    @Mixin
    private PenaltyOptions penalty;

    @Option(
            names = "--split",
            defaultValue = "TEST",
            description = "Images to evaluate on: test (needs the responses to the test images, which simulate writes)"
                    + " or validation (a part of the training images) (default ${DEFAULT-VALUE}).")
    private ModelEvaluator.Split split;

    @Option(
            names = "--validation",
            defaultValue = "0.1",
            paramLabel = "SHARE",
            description = "Share of the training images that --split validation holds out, as train.validation of a"
                    + " recipe does (default ${DEFAULT-VALUE}).")
    private double validation;

    @Option(
            names = "--seed",
            defaultValue = "0",
            paramLabel = "N",
            description = "Seed of --split validation: the same images as of a recipe with this train.seed (default"
                    + " ${DEFAULT-VALUE}).")
    private long seed;

    @Option(
            names = "--held-out",
            paramLabel = "DIR",
            description = "Folder with {lh,rh}_test_fmri.npy (default: subj0X_held_out in the data folder, or"
                    + " test_split/test_fmri in the subject's).")
    private @Nullable Path heldOut;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for the files of evaluate, and ridge.json: settings, penalties and, with auto, what"
                    + " the others scored.")
    private @Nullable Path out;

    @Option(names = "--json", description = "Prints JSON instead of the table.")
    private boolean json;

    @Override
    public Integer call() {
        features.check();
        penalty.check(features.isAuto());
        if (!(validation > 0 && validation <= ImageSplit.MAX_VALIDATION))
            throw new InputException(
                    "--validation " + validation,
                    "is not above 0 and at most " + ImageSplit.MAX_VALIDATION,
                    "Give for example 0.1");
        if (out != null) Output.requireWritable(out);
        try (AlgonautsSubject subject = subjectOptions.open(output);
                FeatureOptions.Opened sources =
                        features.open(subject, subjectOptions.data().cache(), output)) {
            RidgeSplit images = split(subject);
            Map<String, Object> ridge = new LinkedHashMap<>();
            RidgeSettings settings =
                    features.isAuto() ? chosen(images, sources, ridge) : penalty.settings(sources.sources());
            RidgeExperiment.Result result =
                    new RidgeExperiment(images, ceiling.unit()).evaluate(settings, significance.design());
            ridge.putAll(result.json());
            print(result.evaluation(), ridge);
        }
        return 0;
    }

    private RidgeSplit split(AlgonautsSubject subject) {
        if (split == ModelEvaluator.Split.TEST)
            return RidgeSplit.test(subject, subjectOptions.heldOut(heldOut, output), output::note);
        ImageSplit parts =
                ImageSplit.of(seed, validation, subject.trainingImages().size());
        for (Path run : features.runs())
            checkHeldOut(run, parts, subject.trainingImages().size());
        return RidgeSplit.validation(subject, parts);
    }

    /** Throws if a run was trained on images that the split holds out. */
    private static void checkHeldOut(Path run, ImageSplit parts, int images) {
        ImageSplit own = ImageSplit.of(Recipe.ofCheckpoint(run), images);
        if (!Arrays.equals(own.validation(), parts.validation()))
            throw new InputException(
                    run.toString(),
                    "its run held out other images than --seed and --validation do, so it was trained on some of them",
                    "Give the run's train.seed and train.validation");
    }

    private RidgeSettings chosen(RidgeSplit images, FeatureOptions.Opened sources, Map<String, Object> ridge) {
        output.note("mean r of " + RidgeSearch.FOLDS + " folds of the training images:");
        RidgeSearch search = new RidgeSearch(images, output::note);
        FeatureSource gabor = sources.gabor();
        RidgeSettings chosen =
                search.choose(penalty.settings(List.of(gabor)), sources.gaborAlternatives(), sources.pixels());
        ridge.put(
                "candidates",
                search.candidates().stream().map(RidgeSearch.Candidate::json).toList());
        return chosen;
    }

    private void print(Evaluation evaluation, Map<String, Object> ridge) {
        evaluation.madeBy(output.command());
        if (out != null) {
            Map<String, byte @Nullable []> files = evaluation.files();
            files.put("ridge.json", Json.pretty(ridge).getBytes(StandardCharsets.UTF_8));
            AtomicFiles.write(out, files);
        }
        Map<String, Object> all = new LinkedHashMap<>(evaluation.json());
        all.put("ridge", ridge);
        output.line("%s", json ? Json.pretty(all).strip() : evaluation.table());
    }
}
