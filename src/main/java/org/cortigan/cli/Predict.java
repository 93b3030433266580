// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.PredictionFiles;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Model;
import org.cortigan.model.ModelConfig;
import org.cortigan.model.Predictor;
import org.cortigan.model.Sampling;
import org.cortigan.train.Ensemble;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "predict",
        description = "Predicts responses to photographs and writes {lh,rh}_pred_test.npy (f32 [images, vertices]),"
                + " images.txt and predictions.json (the subject and the models).",
        mixinStandardHelpOptions = true)
final class Predict implements Callable<Integer> {
    private static final int BATCH = 32;

    enum Split {
        TEST,
        TRAINING
    }

    @Mixin
    private Output output;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private ModelOptions models;

    @Mixin
    private SamplingOptions sampling;

    @Mixin
    private PrecisionOptions precision;

    @Option(
            names = "--samples-out",
            paramLabel = "FILE",
            description = "Of a diffusion model that predicts the mean of samples, also writes the samples: npy, f32"
                    + " [images, samples, vertices], the left hemisphere's vertices first.")
    private @Nullable Path samplesOut;

    @ArgGroup(exclusive = true, multiplicity = "1")
    private Source source;

    static final class Source {
        @Option(
                names = "--images",
                paramLabel = "DIR",
                description = "Folder of PNG or JPEG files, which are turned upright as EXIF or XMP says.")
        @Nullable
        Path images;

        @Option(
                names = "--data",
                paramLabel = "DIR",
                description = "Folder with subj01 ... subj08, of the challenge or simulated.")
        @Nullable
        Path data;
    }

    @Option(
            names = "--subject",
            paramLabel = "N",
            description = "Subject in --data, 1 to 8 (default: the model's, or 1). A model of several subjects predicts"
                    + " this subject's responses.")
    private @Nullable Integer subject;

    @Option(
            names = "--split",
            defaultValue = "TEST",
            description = "Which images of --data: ${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}).")
    private Split split;

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "Folder for the predictions.")
    private Path out;

    enum Missing {
        ZERO(0),
        NAN(Float.NaN);

        private final float value;

        Missing(float value) {
            this.value = value;
        }
    }

    @Option(
            names = "--missing",
            defaultValue = "ZERO",
            paramLabel = "VALUE",
            description = "Prediction at vertices that had no responses (NaN or infinite) in the training data: zero or"
                    + " nan (default ${DEFAULT-VALUE}).")
    private Missing missing;

    @Option(
            names = "--attention",
            description =
                    "Of a model with a readout of region queries, also writes attention.npy, f32 [images, queries,"
                            + " layers, height, width]: where each query attends, mean over heads. The shares of all places of"
                            + " all layers and of the class tokens, which are left out, sum to 1. regions.txt names the queries.")
    private boolean attention;

    @Option(
            names = "--batch",
            paramLabel = "N",
            description = "Batch size (default: 32, or fewer if the samples of --samples-out would take more than"
                    + " 1 GiB, or than a quarter of Java's memory).")
    private @Nullable Integer batch;

    @Override
    public Integer call() {
        if (batch != null && batch < 1) throw new InputException("--batch " + batch, "is too small", "Give at least 1");
        List<Path> checkpoints = models.checkpoints();
        if (attention && checkpoints.size() > 1)
            throw new InputException(
                    "--attention", checkpoints.size() + " models are given", "Give one model: maps are of one model");
        if (samplesOut != null && checkpoints.size() > 1)
            throw new InputException(
                    "--samples-out",
                    checkpoints.size() + " models are given",
                    "Give one model: samples are of one model");
        Sampling.Change change = sampling.change();
        if (change.samples().size() > 1)
            throw new InputException("--samples " + change.samples(), "are several numbers", "Give one");
        String name = subjectName(checkpoints.get(0));
        if (!models.acceptsOtherSubject()) Checkpoints.requireSubject(checkpoints, name, output::note);
        Output.requireWritable(out);
        try (AlgonautsSubject measured = source.data == null ? null : open(source.data, name)) {
            List<Path> photographs = measured == null
                    ? Images.list(Objects.requireNonNull(source.images, "no --images"), output::note)
                    : images(measured);
            predict(checkpoints, change, name, photographs, measured);
        }
        return 0;
    }

    /** @param measured the subject of --data, or null */
    private void predict(
            List<Path> checkpoints,
            Sampling.Change change,
            String name,
            List<Path> photographs,
            @Nullable AlgonautsSubject measured) {
        int size = Math.min(batch != null ? batch : defaultBatch(checkpoints.get(0), change, name), photographs.size());
        try (Device opened = device.open(output);
                Ensemble ensemble =
                        Ensemble.load(checkpoints, opened, size, name, false, change, precision.precision());
                Predictor maps = attention ? maps(checkpoints.get(0), opened, size, name) : null) {
            if (measured != null && !models.acceptsOtherSubject())
                Checkpoints.requireVertices(
                        checkpoints.get(0),
                        ensemble.subject(),
                        measured,
                        "Give the data that the model was trained on, or accept these with --other-subject");
            if (samplesOut != null && ensemble.sampling().isEmpty())
                throw new InputException(
                        "--samples-out " + samplesOut,
                        checkpoints.get(0) + " predicts no mean of samples",
                        "Give --mode samples and a model with the readout diffusion, or leave it out");
            PredictionFiles.write(
                    ensemble,
                    maps,
                    samplesOut,
                    photographs,
                    source.images != null,
                    checkpoints,
                    name,
                    missing.value,
                    out,
                    output::note);
            ModelConfig.Subject s = ensemble.subject();
            MissingVertices absent = s.missing();
            output.line(
                    "%d images, %d + %d vertices: %s",
                    photographs.size(),
                    s.left() + absent.left().size(),
                    s.right() + absent.right().size(),
                    out);
            if (!ensemble.prediction().isEmpty()) output.note("prediction: " + ensemble.prediction());
            if (absent.count() > 0)
                output.note(absent.count() + " vertices had no responses in the training data: their prediction is "
                        + missing.value);
        }
    }

    private Predictor maps(Path checkpoint, Device device, int batch, String subject) {
        return Model.load(checkpoint).predicting(precision.precision()).attention(device, batch, subject);
    }

    private int defaultBatch(Path checkpoint, Sampling.Change change, String name) {
        if (samplesOut == null) return BATCH;
        ModelConfig c = Checkpoints.config(checkpoint).predicting(change, checkpoint.toString());
        long samples =
                c.generator().diffusion().map(d -> d.sampling().samples()).orElse(1);
        return PredictionFiles.batch(BATCH, samples * c.subject(name).vertices());
    }

    /** The subject to predict: the chosen one; otherwise that of the first model, or 1 if the model has several. */
    private String subjectName(Path checkpoint) {
        String first = AlgonautsSubject.folderName(1);
        if (subject != null) return AlgonautsSubject.folderName(subject);
        String own = Checkpoints.subject(checkpoint, first);
        return own.isEmpty() ? first : own;
    }

    private static AlgonautsSubject open(Path data, String name) {
        int number = IntStream.rangeClosed(1, 8)
                .filter(n -> AlgonautsSubject.folderName(n).equals(name))
                .findFirst()
                .orElseThrow(() -> new InputException(
                        "subject " + InputFiles.quote(name),
                        "is not one of subj01 to subj08",
                        "Choose one with --subject"));
        return AlgonautsSubject.open(data, number);
    }

    private List<Path> images(AlgonautsSubject s) {
        List<Path> images = split == Split.TEST ? s.testImages() : s.trainingImages();
        if (images.isEmpty())
            throw new InputException(s.folder().toString(), "has no test images", "Choose --split training");
        return images;
    }
}
