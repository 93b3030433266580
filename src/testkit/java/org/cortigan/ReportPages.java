// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.PearsonAccumulator;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.Csv;
import org.cortigan.io.Json;
import org.cortigan.io.SafeTensors;
import org.cortigan.report.Report;
import org.cortigan.report.ReportRun;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.simulate.SimulatedDataset;
import org.cortigan.train.HeldOut;
import org.cortigan.train.Recipe;

/**
 * Reports for tests: the folder that quickstart leaves, with all vertices and every kind of file, but with predictions
 * that are the responses plus noise, so that nothing is trained.
 */
public final class ReportPages {
    private static final int IMAGES = 60;

    private ReportPages() {}

    /** Makes such a folder and its report; returns the page. */
    public static Path quickstartLike(Path folder) {
        evaluated(folder, new int[] {19004, 20544});
        Path page = folder.resolve("report.html");
        Report.write(page, options(ReportRun.find(folder)), note -> {});
        return page;
    }

    /** The options of a report without photographs of others' data. */
    public static Report.Options options(List<ReportRun> runs) {
        return new Report.Options(runs, null, null, null, null, true, "tools/cortigan report quickstart", "CortiGAN");
    }

    /**
     * Makes the folder without the page.
     *
     * @param vertices {left, right}
     */
    public static void evaluated(Path folder, int[] vertices) {
        Path data = folder.resolve("data");
        SimulatedDataset.write(
                new SimulatedDataset.Options(
                        data, 1, BundledPhotos.extract(folder.resolve("photographs")), 8, 12, 64, 0),
                vertices,
                line -> {});
        Map<String, Object> summary = new LinkedHashMap<>();
        try (AlgonautsSubject subject = AlgonautsSubject.open(data, 1)) {
            evaluate(folder, "GAN", 0.8, 1, subject, summary);
            evaluate(folder, "control", 0, 2, subject, summary);
            evaluate(folder, "ridge", 0.6, 3, subject, summary);
            photographs(folder.resolve("evaluation/GAN/photographs.csv"), subject);
            readout(folder.resolve("evaluation/GAN/readout.safetensors"), subject);
        }
        run(folder.resolve("run-of-GAN"), false);
        run(folder.resolve("run-of-control"), true);
        Json.write(folder.resolve("summary.json"), summary);
    }

    /** @param part of a perfect model's prediction; the rest is noise */
    private static void evaluate(
            Path folder, String name, double part, long seed, AlgonautsSubject subject, Map<String, Object> summary) {
        NoiseCeiling ceiling = HeldOut.ceiling(subject, NoiseCeiling.Unit.FRACTION);
        if (ceiling == null) throw new IllegalStateException("a simulated subject has noise ceilings");
        int vertices = subject.vertices();
        float[] predicted = new float[vertices], measured = new float[vertices];
        PearsonAccumulator acc = new PearsonAccumulator(vertices);
        for (int i = 0; i < IMAGES; i++) {
            SplittableRandom random = new SplittableRandom(1000 * seed + i);
            for (int v = 0; v < vertices; v++) {
                double r = part * Math.sqrt(ceiling.fraction(v)), y = random.nextGaussian();
                measured[v] = (float) y;
                predicted[v] = (float) (r * y + Math.sqrt(1 - r * r) * random.nextGaussian());
            }
            acc.add(predicted, measured, 1);
        }
        Path evaluation = folder.resolve("evaluation").resolve(name);
        Path run = name.equals("ridge") ? null : folder.resolve("run-of-" + name);
        Evaluation.Kind kind = run == null ? Evaluation.Kind.RIDGE : Evaluation.Kind.MODEL;
        HeldOut.summary(
                        name + " on the test split",
                        acc,
                        subject,
                        NoiseCeiling.Unit.FRACTION,
                        new int[0],
                        null,
                        Evaluation.Prediction.ONLY)
                .from(new Evaluation.Origin(kind, run, "tools/cortigan evaluate"))
                .write(evaluation);
        summary.put(name, new LinkedHashMap<>(Map.of("evaluation", "evaluation/" + name)));
    }

    private static void run(Path folder, boolean shuffled) {
        AtomicFiles.createFolder(folder);
        Recipe recipe = Recipe.load("quickstart").with("train.shuffle_pairs", shuffled);
        AtomicFiles.writeString(folder.resolve("recipe.yaml"), recipe.toYaml());
        Json.write(folder.resolve("environment.json"), Map.of("java", "17", "command", "tools/cortigan train"));
        StringBuilder csv = new StringBuilder(Csv.line(List.of("epoch", "step", "loss", "validation_mean_r")));
        for (int e = 1; e <= 8; e++)
            csv.append(Csv.line(List.of("" + e, "" + 20 * e, "" + (0.5 + 1.0 / e), e == 1 ? "" : "" + 0.05 * e)));
        AtomicFiles.writeString(folder.resolve("metrics.csv"), csv.toString());
    }

    private static void photographs(Path file, AlgonautsSubject subject) {
        List<String> names = subject.testImages().stream()
                .map(p -> String.valueOf(p.getFileName()))
                .toList();
        StringBuilder csv =
                new StringBuilder(Csv.line(List.of("image", "file", "hemisphere", "class", "roi", "vertices", "r")));
        for (int i = 0; i < names.size(); i++)
            for (List<String> roi : List.of(List.of("", "all vertices"), List.of("prf-visualrois", "V1v"))) {
                List<String> line = new ArrayList<>(List.of("" + i, names.get(i), "both"));
                line.addAll(roi);
                line.addAll(List.of("800", "" + (0.5 - 0.05 * i)));
                csv.append(Csv.line(line));
            }
        AtomicFiles.writeString(file, csv.toString());
    }

    private static void readout(Path file, AlgonautsSubject subject) {
        SafeTensors.Writer writer = new SafeTensors.Writer(file);
        for (int h = 0; h < 2; h++) {
            int n = h == 0 ? subject.left() : subject.right();
            float[] positions = new float[2 * n], layers = new float[2 * n];
            for (int v = 0; v < n; v++) {
                positions[2 * v] = (float) Math.cos(v);
                positions[2 * v + 1] = (float) Math.sin(v) / 2;
                layers[2 * v + v % 2] = 1;
            }
            String name = h == 0 ? ".lh" : ".rh";
            writer.add("positions" + name, positions, n, 2);
            writer.add("layers" + name, layers, n, 2);
        }
        float[] attention = new float[2 * 4];
        for (int i = 0; i < attention.length; i++) attention[i] = i % 4 / 6f;
        writer.add("attention", attention, 1, 2, 2, 2);
        writer.metadata("layers", Json.compact(List.of("block 2", "block 4")));
        writer.metadata("queries", Json.compact(List.of("V1v", "remainder-lh")));
        writer.metadata(
                "photographs",
                Json.compact(List.of(String.valueOf(subject.testImages().get(0).getFileName()))));
        writer.metadata("images", Json.compact(List.of(0)));
        writer.commit();
    }
}
