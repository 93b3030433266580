// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.BundledPhotos;
import org.cortigan.data.Json;
import org.cortigan.data.SimulatedDataset;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.Metric;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.RidgeBaseline;
import org.cortigan.exec.Device;
import org.cortigan.model.Generator;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;
import org.cortigan.train.Ensemble;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageFeatures;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "quickstart",
        description =
                "From nothing to a trained and evaluated ViT GAN on a simulated subject with all 39,548 vertices, in minutes.",
        mixinStandardHelpOptions = true)
final class Quickstart implements Callable<Integer> {
    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Place place;

    @Option(names = "--out", defaultValue = "quickstart", paramLabel = "DIR", description = "Default ${DEFAULT-VALUE}.")
    private Path out;

    @Option(
            names = "--photos",
            paramLabel = "DIR",
            description = "Folder of PNG or JPEG files (default: four bundled photographs).")
    private Path photos;

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
            description = "Changes one value of the recipe.")
    private List<String> options = List.of();

    @Override
    public Integer call() {
        try (Device device = place.open(output)) {
            return run(device);
        }
    }

    private int run(Device device) {
        long begin = System.nanoTime();
        Recipe recipe = Recipe.load("quickstart");
        for (String o : options) recipe = recipe.with(o);
        int size = Generator.of(recipe.section("model").section("generator")).image();
        if (Files.exists(out))
            throw new InputException(out.toString(), "exists already", "Remove it, or choose another folder by --out");
        Path data = out.resolve("data");
        output.note("1/4 simulating subject 1: " + images + " training and " + testImages
                + " test images, crops of photographs");
        List<Path> files = photos != null
                ? org.cortigan.data.Images.list(photos)
                : BundledPhotos.extract(out.resolve("photographs"));
        SimulatedDataset.write(new SimulatedDataset.Options(data, 1, files, images, testImages, 96, 0), s -> {});
        Map<String, Evaluation> results = new LinkedHashMap<>();
        try (AlgonautsSubject subject = AlgonautsSubject.open(data, 1);
                SubjectData train = new SubjectData(subject, size, data.resolve(".cortigan-cache"), s -> {});
                HeldOut test = new HeldOut(
                        subject, SimulatedDataset.heldOut(data, 1), size, data.resolve(".cortigan-cache"), s -> {})) {
            output.note("2/4 training a ViT GAN on " + (subject.left() + subject.right()) + " vertices");
            results.put("ViT GAN", trained(recipe, "run", train, test, subject, device));
            output.note("3/4 the control: the same with every photograph's response taken from another");
            results.put(
                    "control, shuffled pairs",
                    trained(recipe.with("train.shuffle_pairs", true), "control", train, test, subject, device));
            output.note("4/4 the yardstick: ridge regression on 100 principal components of pixels");
            results.put(
                    "ridge on pixels",
                    test.ridge(
                            "ridge on pixels",
                            ImageFeatures.pixels(train, size, 32),
                            ImageFeatures.pixels(test, size, 32),
                            train,
                            RidgeBaseline.Options.defaults(),
                            NoiseCeiling.Unit.FRACTION));
        }
        results.forEach((name, e) -> {
            Path folder = out.resolve("evaluation").resolve(name.replaceAll("[^A-Za-z]+", "-"));
            RunFolder.create(folder);
            e.write(folder);
        });
        Map<String, Object> summary = new LinkedHashMap<>();
        results.forEach((name, e) -> summary.put(name, Map.of("mean_r", e.meanR(), "median_r", e.medianR())));
        Json.write(out.resolve("summary.json"), summary);
        output.line("%n%s", table(results));
        output.line(
                "simulated data: crops of %d photographs, test crops of the same photographs at other places where there are"
                        + " fewer than 20;%nreal photographs and real brains are harder. %.0f seconds in all.%n",
                files.size(), (System.nanoTime() - begin) / 1e9);
        output.line("written to %s:", out);
        output.line("  data/            the simulated subject in the challenge's layout");
        output.line(
                "  run/             recipe.yaml, metrics.csv, best.safetensors, last.safetensors, events for TensorBoard");
        output.line("  evaluation/      for each of the three: r of every vertex (npy), by ROI (csv), json");
        output.line(
                "next: tools/cortigan predict %s --images FOLDER_OF_PHOTOGRAPHS --out predictions", out.resolve("run"));
        output.line(
                "      tools/cortigan train -c quickstart --data %s -o loss.gan_weight=0 --run %s   # the same without the GAN",
                data, out.resolve("no-gan"));
        return 0;
    }

    private Evaluation trained(
            Recipe r, String name, SubjectData train, HeldOut test, AlgonautsSubject s, Device device) {
        Path folder = out.resolve(name);
        RunFolder.create(folder);
        try (Trainer t = new Trainer(r, train, device, folder)) {
            try (RunFolder f = new RunFolder(folder, r, device, Map.of(), 0)) {
                t.addListener(f);
                t.addListener(new Progress(output, name, false));
                t.run();
            }
        }
        // the last, not the best: choosing the control's epoch by its validation would flatter it
        try (Predictor p = Model.load(RunFolder.last(folder)).evaluator(device, 32, "")) {
            int[] all = new int[test.count()];
            for (int i = 0; i < all.length; i++) all[i] = i;
            return HeldOut.summary(name, Ensemble.evaluate(p, test, all), s, NoiseCeiling.Unit.FRACTION);
        }
    }

    private static String table(Map<String, Evaluation> results) {
        StringBuilder s = new StringBuilder(
                "Pearson's r over held-out images for each vertex; mean (median) over the vertices named\n");
        s.append(String.format("%-4s %-14s %8s %8s", "", "", "vertices", "bound"));
        results.keySet().forEach(n -> s.append(String.format("  %24s", n)));
        s.append('\n');
        Evaluation first = results.values().iterator().next();
        for (int i = 0; i < first.rows().size(); i++) {
            Evaluation.Row x = first.rows().get(i);
            if (x.vertices() == 0) continue;
            s.append(String.format(
                    java.util.Locale.ROOT, "%-4s %-14s %8d %8.3f", x.hemisphere(), x.roi(), x.vertices(), x.figure(Metric.BOUND)));
            for (Evaluation e : results.values())
                s.append(String.format(
                        java.util.Locale.ROOT,
                        "  %15.3f (%6.3f)",
                        e.rows().get(i).figure(Metric.MEAN_R),
                        e.rows().get(i).figure(Metric.MEDIAN_R)));
            s.append('\n');
        }
        return s.append("bound: mean of sqrt(noise ceiling), the most that mean r can reach\n")
                .toString();
    }
}
