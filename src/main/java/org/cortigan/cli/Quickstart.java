// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.Images;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.Metric;
import org.cortigan.exec.Device;
import org.cortigan.experiment.QuickstartExperiment;
import org.cortigan.io.FolderLock;
import org.cortigan.report.ReportRun;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.train.Recipe;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "quickstart",
        description =
                "Simulates a subject with all 39,548 vertices, then trains and evaluates a GAN on it, in minutes.",
        mixinStandardHelpOptions = true)
final class Quickstart implements Callable<Integer> {
    @Mixin
    private Output output;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private ReportOptions report;

    @Option(
            names = "--out",
            defaultValue = "quickstart",
            paramLabel = "DIR",
            description = "Folder for all output (default ${DEFAULT-VALUE}).")
    private Path out;

    @Option(
            names = "--photos",
            paramLabel = "DIR",
            description = "Folder of PNG or JPEG files (default: four bundled photographs).")
    private @Nullable Path photos;

    @Option(
            names = "--images",
            defaultValue = "1280",
            paramLabel = "N",
            description = "Training images (default ${DEFAULT-VALUE}).")
    private int images;

    @Option(
            names = "--test-images",
            defaultValue = "200",
            paramLabel = "N",
            description = "Test images (default ${DEFAULT-VALUE}).")
    private int testImages;

    @Option(
            names = {"-o", "--option"},
            paramLabel = "KEY=VALUE",
            description = "Overrides one value of the recipe. Repeatable.")
    private List<String> assignments = List.of();

    @Override
    public Integer call() {
        try (Device opened = device.open(output)) {
            long begin = System.nanoTime();
            Recipe recipe = Recipe.load("quickstart").with(assignments);
            recipe.tellUnused(output::note);
            if (Files.exists(out))
                throw new InputException(
                        out.toString(), "exists already", "Remove it, or choose another folder with --out");
            List<Path> own = photos == null ? null : Images.list(photos, output::note);
            try (FolderLock lock = FolderLock.take(out, Quickstart.class, output::note)) {
                List<Path> files = own != null ? own : BundledPhotos.extract(out.resolve("photographs"));
                QuickstartExperiment experiment = new QuickstartExperiment(
                        out,
                        recipe,
                        files,
                        images,
                        testImages,
                        output.command(),
                        name -> new Progress(output, name, false),
                        output::note);
                output.line("%n%s", table(experiment.run(opened)));
                Path page = report.write(output, out, () -> ReportRun.find(out));
                if (page != null) output.line("open %s in a browser: where the models predict and where not%n", page);
                explain(experiment, files.size(), (System.nanoTime() - begin) / 1e9);
            }
        }
        return 0;
    }

    private void explain(QuickstartExperiment experiment, int photographs, double seconds) {
        output.line(
                "The data are simulated: the images are crops of %d photographs. With fewer than 20 photographs, test"
                        + " images are other crops%nof the training photographs. Real photographs and real brains are"
                        + " harder. Total time: %.0f seconds.%n",
                photographs, seconds);
        output.line("written to %s:", out);
        output.line("  data/            simulated subject in the challenge's layout");
        output.line("  run/             recipe.yaml, metrics.csv, best.safetensors, last.safetensors, TensorBoard"
                + " events");
        output.line("  evaluation/      for each of the four models: r of every vertex (npy), by ROI (csv), all"
                + " metrics (json)");
        output.line(
                "next: tools/cortigan predict %s --images FOLDER_OF_PHOTOGRAPHS --out predictions", experiment.run());
        output.line(
                "      tools/cortigan train -c quickstart --data %s -o loss.gan_weight=0 --run %s   # the same without"
                        + " the GAN",
                experiment.data(), out.resolve("no-gan"));
    }

    private static String table(Map<String, Evaluation> results) {
        StringBuilder s = new StringBuilder(
                "Pearson's r of each vertex over the held-out images: mean (median) over the vertices of each row\n");
        s.append(String.format(Locale.ROOT, "%-4s %-14s %8s %8s", "", "", "vertices", "bound"));
        results.keySet().forEach(name -> s.append(String.format(Locale.ROOT, "  %24s", name)));
        s.append('\n');
        List<Evaluation.Row> places = results.values().iterator().next().rows();
        for (int i = 0; i < places.size(); i++) {
            Evaluation.Row place = places.get(i);
            if (place.vertices() == 0) continue;
            s.append(String.format(
                    Locale.ROOT,
                    "%-4s %-14s %8d %8.3f",
                    place.hemisphere(),
                    place.roi(),
                    place.vertices(),
                    place.figure(Metric.BOUND)));
            for (Evaluation evaluation : results.values()) {
                Evaluation.Row row = evaluation.rows().get(i);
                s.append(String.format(
                        Locale.ROOT, "  %15.3f (%6.3f)", row.figure(Metric.MEAN_R), row.figure(Metric.MEDIAN_R)));
            }
            s.append('\n');
        }
        return s.append("bound: mean of sqrt(noise ceiling), the highest mean r that a model can reach\n")
                .toString();
    }
}
