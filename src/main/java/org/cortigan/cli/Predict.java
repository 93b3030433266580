// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.MissingVertices;
import org.cortigan.exec.Device;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.PredictionFiles;
import org.cortigan.model.ModelConfig;
import org.cortigan.train.Ensemble;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "predict",
        description = "Predicts responses to photographs and writes {lh,rh}_pred_test.npy (f32 [images, vertices]) and"
                + " images.txt.",
        mixinStandardHelpOptions = true)
final class Predict implements Callable<Integer> {
    enum Split {
        TEST,
        TRAINING
    }

    @Mixin
    private Output output;

    @Mixin
    private DeviceOptions device;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "1..*",
            description = "Run folder (its best checkpoint is used) or checkpoint. With several, their predictions are"
                    + " averaged.")
    private List<Path> models;

    @ArgGroup(exclusive = true, multiplicity = "1")
    private Source source;

    static final class Source {
        @Option(names = "--images", paramLabel = "DIR", description = "Folder of PNG or JPEG files.")
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
            defaultValue = "1",
            paramLabel = "N",
            description = "Subject in --data, 1 to 8. A model of several subjects predicts this subject's responses"
                    + " (default ${DEFAULT-VALUE}).")
    private int subject;

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
            description =
                    "Prediction at vertices that had no responses (NaN) in the training data: zero or nan (default"
                            + " ${DEFAULT-VALUE}).")
    private Missing missing;

    @Option(
            names = "--batch",
            defaultValue = "32",
            paramLabel = "N",
            description = "Batch size (default ${DEFAULT-VALUE}).")
    private int batch;

    @Override
    public Integer call() {
        if (batch < 1) throw new InputException("--batch " + batch, "is too small", "Give at least 1");
        List<Path> photographs = source.images != null ? Images.list(source.images) : imagesOfSubject();
        List<Path> checkpoints = models.stream().map(Checkpoints::find).toList();
        int size = Math.min(batch, photographs.size());
        try (Device opened = device.open(output);
                Ensemble ensemble =
                        Ensemble.load(checkpoints, opened, size, AlgonautsSubject.folderName(subject), false)) {
            PredictionFiles.write(ensemble, photographs, out, missing.value);
            ModelConfig.Subject s = ensemble.subject();
            MissingVertices absent = s.missing();
            output.line(
                    "%d images, %d + %d vertices: %s",
                    photographs.size(),
                    s.left() + absent.left().size(),
                    s.right() + absent.right().size(),
                    out);
            if (absent.count() > 0)
                output.note(absent.count() + " vertices had no responses in the training data: their prediction is "
                        + missing.value);
        }
        return 0;
    }

    private List<Path> imagesOfSubject() {
        try (AlgonautsSubject s = AlgonautsSubject.open(Objects.requireNonNull(source.data, "no --data"), subject)) {
            List<Path> images = split == Split.TEST ? s.testImages() : s.trainingImages();
            if (images.isEmpty())
                throw new InputException(s.folder().toString(), "has no test images", "Choose --split training");
            return images;
        }
    }
}
