// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.AtomicFiles;
import org.cortigan.data.Images;
import org.cortigan.data.NpyType;
import org.cortigan.data.NpyWriter;
import org.cortigan.exec.Device;
import org.cortigan.train.Ensemble;
import org.cortigan.train.RunFolder;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "predict",
        description =
                "Predicts responses to photographs, to {lh,rh}_pred_test.npy (f32 [images, vertices]) and images.txt.",
        mixinStandardHelpOptions = true)
final class Predict implements Callable<Integer> {
    enum Split {
        TEST,
        TRAINING
    }

    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Place place;

    @Parameters(
            paramLabel = "RUN|CHECKPOINT",
            arity = "1..*",
            description =
                    "A run's folder (its best checkpoint) or a checkpoint; of several the mean of their predictions.")
    private List<Path> models;

    @ArgGroup(exclusive = true, multiplicity = "1")
    private Source source;

    static final class Source {
        @Option(names = "--images", paramLabel = "DIR", description = "A folder of PNG or JPEG files.")
        Path images;

        @Option(names = "--data", paramLabel = "DIR", description = "The challenge's data or a simulated data set.")
        Path data;
    }

    @Option(
            names = "--subject",
            defaultValue = "1",
            paramLabel = "N",
            description =
                    "Of --data, and whose responses of a model of several subjects; 1 to 8 (default ${DEFAULT-VALUE}).")
    private int subject;

    @Option(
            names = "--split",
            defaultValue = "TEST",
            description = "With --data; ${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}).")
    private Split split;

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "Folder for the predictions.")
    private Path out;

    @Option(
            names = "--batch",
            defaultValue = "32",
            paramLabel = "N",
            description = "Photographs at a time (default ${DEFAULT-VALUE}).")
    private int batch;

    @Override
    public Integer call() {
        if (batch < 1) throw new InputException("--batch " + batch, "is too small", "Give at least 1");
        List<Path> files;
        if (source.images != null) files = Images.list(source.images);
        else
            try (AlgonautsSubject s = AlgonautsSubject.open(source.data, subject)) {
                files = split == Split.TEST ? s.testImages() : s.trainingImages();
                if (files.isEmpty())
                    throw new InputException(s.folder().toString(), "has no test images", "Choose --split training");
            }
        List<Path> checkpoints = models.stream().map(Shared::checkpoint).toList();
        int most = Math.min(batch, files.size());
        try (Device device = place.open(output);
                Ensemble p = Ensemble.load(checkpoints, device, most, AlgonautsSubject.folderName(subject), false)) {
            int left = p.subject().left();
            RunFolder.create(out);
            write(p, files, left);
            output.line("%d images, %d + %d vertices: %s", files.size(), left, p.columns() - left, out);
        }
        return 0;
    }

    private void write(Ensemble p, List<Path> files, int left) {
        int v = p.columns();
        try (NpyWriter l = NpyWriter.create(out.resolve("lh_pred_test.npy"), NpyType.F32, files.size(), left);
                NpyWriter r = NpyWriter.create(out.resolve("rh_pred_test.npy"), NpyType.F32, files.size(), v - left)) {
            float[] y = new float[Math.multiplyExact(p.batch(), v)];
            StringBuilder names = new StringBuilder();
            for (int at = 0; at < files.size(); at += p.batch()) {
                int n = Math.min(p.batch(), files.size() - at), first = at;
                p.predict((k, side, into) -> into.put(Images.decode(files.get(first + k), side)), n, y);
                for (int k = 0; k < n; k++) {
                    names.append(files.get(at + k).getFileName()).append('\n');
                    l.writeRow(y, k * v, left);
                    r.writeRow(y, k * v + left, v - left);
                }
            }
            l.commit();
            r.commit();
            AtomicFiles.writeString(out.resolve("images.txt"), names.toString());
        }
    }
}
