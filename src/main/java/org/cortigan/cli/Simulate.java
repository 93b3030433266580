// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.cortex.Challenge;
import org.cortigan.cortex.Images;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.simulate.SimulatedDataset;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "simulate",
        description = "Writes a simulated subject in the layout of the Algonauts 2023 challenge, from any photographs.",
        mixinStandardHelpOptions = true)
final class Simulate implements Callable<Integer> {
    @Mixin
    private Output output;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder to write the data set to.")
    private Path out;

    @Option(
            names = "--photos",
            paramLabel = "DIR",
            description = "Folder of PNG or JPEG files (default: four bundled photographs).")
    private @Nullable Path photos;

    @Option(
            names = "--subject",
            defaultValue = "1",
            paramLabel = "N",
            description = "1 to 8; sets the vertex counts and the ROIs (default ${DEFAULT-VALUE}).")
    private int subject;

    @Option(
            names = "--images",
            defaultValue = "0",
            paramLabel = "N",
            description = "Training images (default: as in the challenge).")
    private int images;

    @Option(
            names = "--test-images",
            defaultValue = "0",
            paramLabel = "N",
            description = "Test images (default: as in the challenge).")
    private int testImages;

    @Option(
            names = "--image-size",
            defaultValue = "425",
            paramLabel = "PIXELS",
            description = "Side of the square images (default ${DEFAULT-VALUE}).")
    private int imageSize;

    @Option(
            names = "--seed",
            defaultValue = "0",
            paramLabel = "N",
            description = "Seed of the simulation (default ${DEFAULT-VALUE}).")
    private long seed;

    @Override
    public Integer call() {
        List<Path> files =
                photos != null ? Images.list(photos, output::note) : BundledPhotos.extract(out.resolve("photographs"));
        boolean known = subject >= 1 && subject <= 8;
        SimulatedDataset.write(
                new SimulatedDataset.Options(
                        out,
                        subject,
                        files,
                        images > 0 || !known ? images : Challenge.trainingImages(subject),
                        testImages > 0 || !known ? testImages : Challenge.testImages(subject),
                        imageSize,
                        seed),
                output::note);
        output.line("%s", out);
        return 0;
    }
}
