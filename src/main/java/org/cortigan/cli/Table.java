// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.data.Settings;
import org.cortigan.data.SimulatedDataset;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.Evaluation;
import org.cortigan.eval.Metric;
import org.cortigan.eval.Metrics;
import org.cortigan.exec.Device;
import org.cortigan.model.Generator;
import org.cortigan.train.HeldOut;
import org.cortigan.train.ImageSplit;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Subset;
import org.cortigan.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "table",
        description = "Trains recipes x seeds x subjects and writes their comparison: table.md, table.csv, table.html.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Each run has its folder in DIR/runs. Given again, the command leaves finished runs as they are, goes on with",
            "those that were interrupted, tries those that failed again, and refuses a run whose recipe or data have changed",
            "since. A run that fails is named in the table, the others go on; the exit code is then 1. Models are evaluated on",
            "the test split where its responses are there (subj0X_held_out), by their best checkpoint; else on the validation",
            "part, by their last checkpoint, because the best was chosen on it."
        })
final class Table implements Callable<Integer> {
    private static final String WITHOUT = " without GAN", RIDGE = "ridge baseline";

    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Ceiling ceiling;

    @Mixin
    private Shared.Place place;

    @Option(
            names = "--data",
            required = true,
            paramLabel = "DIR",
            description = "Folder with the challenge's subj01 ... subj08, or a simulated one.")
    private Path data;

    @Option(
            names = "--cache",
            paramLabel = "DIR",
            description = "Folder for decoded photographs (default: .cortigan-cache in the data folder).")
    private Path cache;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder for the table and its runs.")
    private Path out;

    @Option(
            names = "--recipes",
            split = ",",
            paramLabel = "NAME,NAME...",
            description = "Bundled names or YAML files (default: every bundled NAME-tiny).")
    private List<String> recipes =
            Recipe.BUNDLED.stream().filter(n -> n.endsWith("-tiny")).toList();

    @Option(
            names = "--seeds",
            split = ",",
            defaultValue = "0,1,2",
            paramLabel = "N,N...",
            description = "Default ${DEFAULT-VALUE}.")
    private List<Long> seeds;

    @Option(
            names = "--subjects",
            split = ",",
            defaultValue = "1",
            paramLabel = "N,N...",
            description = "Default ${DEFAULT-VALUE}.")
    private List<Integer> subjects;

    @Option(
            names = "--ablation",
            description = "Each recipe with loss.gan_weight=0 too, and the differences, paired by seed.")
    private boolean ablation;

    @Option(
            names = "--compare",
            split = ",",
            paramLabel = "A=B,C=D...",
            description = "More differences of mean r between rows, A less B, paired by seed, by the recipes' names.")
    private List<String> compare = List.of();

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Changes one value of every recipe, by its path.")
    private List<String> options = List.of();

    @Option(
            names = "--components",
            defaultValue = "100",
            paramLabel = "N",
            description = "Principal components of the ridge baseline (default ${DEFAULT-VALUE}).")
    private int components;

    /** One training run and what came of it: its figures or its error. */
    private static final class Run {
        final String name;
        final Recipe recipe;
        final int subject;
        final long seed;
        final Path folder;
        Settings result;
        String error;

        Run(String name, Recipe recipe, int subject, long seed, Path folder) {
            this.name = name;
            this.recipe = recipe;
            this.subject = subject;
            this.seed = seed;
            this.folder = folder;
        }

        Path resultFile() {
            return folder.resolve("result.json");
        }
    }

    private final List<Run> runs = new ArrayList<>();
    /** By name, twins without GAN behind their recipe. */
    private final Map<String, Recipe> byName = new LinkedHashMap<>();

    private final List<String[]> pairs = new ArrayList<>();
    /** By subject, a result for each split that differs: one on the test split, one for each seed else. */
    private final Map<Integer, List<Run>> baselines = new TreeMap<>();

    @Override
    public Integer call() throws Exception {
        if (components < 1) throw new InputException("--components " + components, "is too small", "Give at least 1");
        plan();
        Map<Integer, AlgonautsSubject> open = new TreeMap<>();
        try (Device device = place.open(output)) {
            RunFolder.create(out);
            for (int n : subjects) {
                AlgonautsSubject s = AlgonautsSubject.open(data, n);
                open.put(n, s);
                s.checkFinite();
                HeldOut.ceiling(s, ceiling.unit); // whether its unit is right, before hours of training
                sameData(s);
            }
            for (Run r : runs) known(r);
            for (List<Run> b : baselines.values()) for (Run r : b) known(r);
            write();
            for (int n : subjects)
                for (Run b : baselines.get(n))
                    if (b.result == null && !attempt(b, () -> baseline(b, open.get(n)))) return 130;
            for (Run r : runs)
                if (r.result == null && !attempt(r, () -> train(r, open.get(r.subject), device))) return 130;
        } finally {
            for (AlgonautsSubject s : open.values()) s.close();
        }
        output.line("%s%nwritten to %s, table.csv and table.html", table().markdown(), out.resolve("table.md"));
        return runs.stream().anyMatch(r -> r.error != null) ? 1 : 0;
    }

    /** What is to be run; seeds outermost, so that the table soon has every row. */
    private void plan() {
        if (recipes.isEmpty())
            throw new InputException("--recipes", "names none", "Name bundled recipes or YAML files");
        for (String name : recipes) {
            Recipe r = Recipe.load(name);
            for (String o : options) r = r.with(o);
            if (byName.put(r.name(), r) != null)
                throw new InputException(
                        "--recipes", "has two of the name '" + r.name() + "'", "Give one of them another name");
            if (ablation && gan(r)) {
                byName.put(r.name() + WITHOUT, r.with("loss.gan_weight", 0));
                pairs.add(new String[] {r.name(), r.name() + WITHOUT});
            }
        }
        for (String c : compare) {
            String[] p = c.split("=", -1);
            if (p.length != 2 || !byName.containsKey(p[0]) || !byName.containsKey(p[1]))
                throw new InputException(
                        "--compare " + c,
                        "is no pair of rows",
                        "Write A=B with two of " + String.join(", ", byName.keySet()));
            pairs.add(p);
        }
        seeds = List.copyOf(new LinkedHashSet<>(seeds));
        subjects = List.copyOf(new LinkedHashSet<>(subjects));
        for (long seed : seeds)
            for (int subject : subjects)
                byName.forEach((name, r) -> runs.add(
                        new Run(name, r.with("train.seed", seed), subject, seed, folder(name, subject, seed))));
        Recipe first = byName.values().iterator().next();
        for (int subject : subjects)
            baselines.put(
                    subject,
                    (onTest(subject) ? seeds.subList(0, 1) : seeds)
                            .stream()
                                    .map(seed -> new Run(
                                            RIDGE,
                                            first.with("train.seed", seed),
                                            subject,
                                            seed,
                                            folder(RIDGE, subject, seed)))
                                    .toList());
    }

    private Path folder(String name, int subject, long seed) {
        return out.resolve("runs")
                .resolve(name.replace(' ', '-') + "-" + AlgonautsSubject.folderName(subject) + "-seed" + seed);
    }

    private boolean onTest(int subject) {
        return Files.isDirectory(SimulatedDataset.heldOut(data, subject));
    }

    private static boolean gan(Recipe r) {
        return r.section("loss").number("gan_weight", 0) > 0
                && !text(r, "discriminator", "type").equals("none");
    }

    /** Refuses to mix runs on other data, split or noise ceilings into a table. */
    private void sameData(AlgonautsSubject s) {
        CRC32 crc = new CRC32();
        ByteBuffer row = ByteBuffer.allocate(4 * s.vertices());
        for (int i : new int[] {0, s.trainingImages().size() - 1}) {
            s.responses(i, row.clear());
            crc.update(row.array());
        }
        Map<String, Object> now = new LinkedHashMap<>();
        now.put("vertices", s.left() + " + " + s.right());
        now.put(
                "images",
                s.trainingImages().size() + " training, " + s.testImages().size() + " test");
        now.put("responses", String.format("CRC-32 %08x of the first and the last", crc.getValue()));
        now.put("evaluated_on", onTest(s.number()) ? "test" : "validation");
        now.put(
                "noise_ceilings",
                s.noiseCeiling().isEmpty() ? "none" : ceiling.unit.name().toLowerCase(Locale.ROOT));
        Path file = out.resolve(AlgonautsSubject.folderName(s.number()) + ".json");
        if (Files.exists(file)) {
            Map<String, Object> before = Json.readObject(file);
            now.forEach((key, value) -> {
                if (!value.equals(before.get(key)))
                    throw new InputException(
                            file + ", " + key,
                            "the runs there are of '" + before.get(key) + "', the data are now '" + value + "'",
                            "Give the data of the first time, or another folder by -o");
            });
        }
        Json.write(file, now);
    }

    /** Takes over the result of a run that is finished; refuses a run of another recipe. */
    private void known(Run r) {
        Path yaml = r.folder.resolve("recipe.yaml");
        if (!r.name.equals(RIDGE) && Files.exists(yaml)) {
            if (!values(Recipe.load(yaml.toString())).equals(values(r.recipe)))
                throw new InputException(
                        yaml.toString(),
                        "is of another recipe than '" + r.name + "' with the values given now",
                        "Give the values of the first time, remove that run's folder, or choose another folder by -o");
        }
        if (!Files.exists(r.resultFile())) return;
        Settings s = Settings.of(r.resultFile().toString(), Json.readObject(r.resultFile()));
        if (!r.name.equals(RIDGE) || s.integer("components", 1) == components) r.result = s;
    }

    /** In one form, whatever type a number has. */
    private static String values(Recipe r) {
        return Json.compact(r.settings().values());
    }

    private interface Work {
        /** Whether it was done, and not stopped by a signal. */
        boolean done() throws Exception;
    }

    /** Does one run's work; an error is the run's own, and the table goes on. */
    private boolean attempt(Run r, Work work) {
        try {
            if (!work.done()) return false;
            r.result = Settings.of(r.resultFile().toString(), Json.readObject(r.resultFile()));
        } catch (Exception e) {
            r.error = String.valueOf(e instanceof InputException ? e.getMessage() : e)
                    .replaceAll("\\s+", " ");
            output.note(r.folder.getFileName() + " failed: " + r.error);
        }
        write();
        return true;
    }

    private Path cache() {
        return cache != null ? cache : data.resolve(".cortigan-cache");
    }

    private boolean train(Run r, AlgonautsSubject s, Device device) throws Exception {
        String name = r.folder.getFileName().toString();
        int size = Generator.of(r.recipe.section("model").section("generator")).image();
        Map<String, Object> result = new LinkedHashMap<>();
        RunFolder.create(r.folder);
        try (SubjectData all = new SubjectData(s, size, cache(), output::note);
                Trainer t = new Trainer(
                        r.recipe, Map.of("", all), device, r.folder, text -> output.note(name + ": " + text))) {
            if (Files.exists(RunFolder.last(r.folder))) {
                t.resume(RunFolder.last(r.folder));
                output.note(name + ": resumed at step " + t.step() + " of " + t.steps());
            }
            if (!Train.run(t, r.recipe, device, r.folder, output, name, false, "give the same command again to go on"))
                return false;
            List<String> epochs = Files.readAllLines(r.folder.resolve("metrics.csv"));
            List<String> columns = List.of(epochs.get(0).split(","));
            result.put("discriminators", t.regions().size());
            result.put("parameters", t.parameters()[0]);
            // Median over epochs: the first epochs read photographs that no cache of the system has yet.
            result.put(
                    "seconds_per_epoch",
                    t.stepsPerEpoch()
                            * r.recipe.section("train").integer("batch", 1)
                            / Metrics.median(epochs.stream()
                                    .skip(1)
                                    .mapToDouble(
                                            l -> Double.parseDouble(l.split(",")[columns.indexOf("images_per_second")]))
                                    .toArray()));
        }
        boolean test = onTest(r.subject);
        Path file = test ? RunFolder.best(r.folder) : RunFolder.last(r.folder);
        write(
                r,
                Evaluate.of(
                        List.of(file),
                        test ? Evaluate.Split.TEST : Evaluate.Split.VALIDATION,
                        s,
                        SimulatedDataset.heldOut(data, r.subject),
                        cache(),
                        device,
                        ceiling.unit,
                        output::note),
                result);
        return true;
    }

    private boolean baseline(Run r, AlgonautsSubject s) {
        output.note(r.folder.getFileName() + ": " + components + " components of pixels");
        RunFolder.create(r.folder);
        try (SubjectData all = new SubjectData(s, Baseline.PIXELS_OF, cache(), output::note)) {
            Evaluation e;
            if (onTest(r.subject)) {
                try (HeldOut test = new HeldOut(
                        s, SimulatedDataset.heldOut(data, r.subject), Baseline.PIXELS_OF, cache(), output::note)) {
                    e = Baseline.pixels(all, test, "test split", s, components, ceiling.unit);
                }
            } else {
                ImageSplit split = ImageSplit.of(r.recipe, all.count());
                if (split.validation().length == 0)
                    throw new InputException(
                            "train.validation of " + r.recipe.name(), "holds out no images", "Set it above 0");
                e = Baseline.pixels(
                        new Subset(all, split.training()),
                        new Subset(all, split.validation()),
                        "validation split",
                        s,
                        components,
                        ceiling.unit);
            }
            write(r, e, Map.of("components", components));
        }
        return true;
    }

    /** The evaluation's files, and last the figures of the table, whose file says that the run is finished. */
    private static void write(Run r, Evaluation e, Map<String, Object> more) {
        Path folder = r.folder.resolve("evaluation");
        RunFolder.create(folder);
        e.write(folder);
        Evaluation.Row all = e.rows().get(0);
        Map<String, Object> result = new LinkedHashMap<>(more);
        result.put("images", e.images());
        for (Metric m : Metric.compared()) if (all.has(m)) result.put(m.key(), all.figure(m));
        Json.write(r.resultFile(), result);
    }

    private void write() {
        table().write(out);
    }

    private ComparisonTable table() {
        List<ComparisonTable.Row> rows = new ArrayList<>();
        List<ComparisonTable.Difference> differences = new ArrayList<>();
        for (int subject : subjects) {
            byName.forEach((name, recipe) -> rows.add(row(name, subject, of(name, subject))));
            rows.add(row(RIDGE, subject, baselines.get(subject)));
            for (String[] p : pairs) {
                List<Run> a = of(p[0], subject), b = of(p[1], subject);
                differences.add(new ComparisonTable.Difference(
                        p[0],
                        p[1],
                        subject,
                        IntStream.range(0, a.size())
                                .filter(i -> a.get(i).result != null && b.get(i).result != null)
                                .mapToDouble(i -> meanR(a.get(i)) - meanR(b.get(i)))
                                .toArray()));
            }
        }
        List<String> about = new ArrayList<>();
        about.add("data: " + data + ", subjects "
                + subjects.stream().map(String::valueOf).toList() + ", seeds " + seeds);
        if (!options.isEmpty()) about.add("in every recipe: " + String.join(", ", options));
        about.add(
                "test: responses that no training read, by each run's best checkpoint; validation: the part of the training images that"
                        + " a run holds out, by its last checkpoint");
        about.add("time per epoch: training alone, median over epochs, on the device of each run (environment.json)");
        return new ComparisonTable(about, rows, differences);
    }

    /** A row's runs in the order of the seeds. */
    private List<Run> of(String name, int subject) {
        return runs.stream()
                .filter(r -> r.name.equals(name) && r.subject == subject)
                .toList();
    }

    private static double meanR(Run r) {
        return number(r, "mean_r");
    }

    private static double number(Run r, String key) {
        return r.result.number(key, Double.NEGATIVE_INFINITY);
    }

    private ComparisonTable.Row row(String name, int subject, List<Run> all) {
        List<Run> done = all.stream().filter(r -> r.result != null).toList();
        Recipe r = all.get(0).recipe;
        List<String> notes = new ArrayList<>();
        for (Run x : all)
            if (x.result == null)
                notes.add("seed " + x.seed + ": " + (x.error != null ? "failed: " + x.error : "not run yet"));
        boolean ridge = name.equals(RIDGE);
        String on = (onTest(subject) ? "test" : "validation")
                + (done.isEmpty() ? "" : ", " + done.get(0).result.whole("images") + " images");
        return new ComparisonTable.Row(
                name,
                subject,
                ridge
                        ? new ComparisonTable.Setup(
                                components + " components of pixels, ridge",
                                null,
                                "squared error + L2",
                                null,
                                null,
                                "none")
                        : new ComparisonTable.Setup(
                                model(r),
                                done.isEmpty() ? null : (Long) done.get(0).result.whole("parameters"),
                                loss(r),
                                r.section("train").integer("epochs", 1),
                                !r.section("train").text("init").isEmpty(),
                                discriminators(r, done)),
                on,
                ridge && onTest(subject)
                        ? List.of()
                        : done.stream().map(x -> x.seed).toList(), // no seed decides anything there
                ridge ? new double[0] : figures(done, "seconds_per_epoch"),
                Metric.compared().stream().collect(Collectors.toMap(m -> m, m -> figures(done, m.key()))),
                notes);
    }

    private static double[] figures(List<Run> done, String key) {
        return done.stream()
                .filter(r -> r.result.values().containsKey(key))
                .mapToDouble(r -> number(r, key))
                .toArray();
    }

    private static String text(Recipe r, String section, String key) {
        return r.section("model").section(section).text(key).toLowerCase(Locale.ROOT);
    }

    private static String model(Recipe r) {
        String type = text(r, "generator", "type");
        return Map.of("vit", "ViT", "cnn", "shallow CNN", "unet", "U-Net").getOrDefault(type, type);
    }

    private static String loss(Recipe r) {
        Settings s = r.section("loss");
        List<String> terms = new ArrayList<>();
        String pixel = s.text("pixel").toLowerCase(Locale.ROOT);
        if (s.number("correlation_weight", 0) > 0) terms.add("correlation");
        if (s.number("pixel_weight", 0) > 0)
            terms.add(Map.of("l1", "L1", "mse", "MSE", "smooth_l1", "smooth L1").getOrDefault(pixel, pixel));
        if (gan(r)) terms.add("GAN");
        return String.join(" + ", terms);
    }

    private static String discriminators(Recipe r, List<Run> done) {
        if (!gan(r)) return "none";
        String type = text(r, "discriminator", "type"), per = text(r, "discriminator", "per");
        return (done.isEmpty() ? "" : done.get(0).result.whole("discriminators") + " ")
                + Map.of("mlp", "MLP", "conv", "convolutional", "vit", "ViT").getOrDefault(type, type)
                + (per.equals("all") ? ", all vertices" : ", per " + per)
                + (text(r, "discriminator", "spectral_norm").equals("none") ? "" : ", spectral norm");
    }
}
