// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.exec.Device;
import org.cortigan.jni.Native;
import org.cortigan.model.Generator;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Subset;
import org.cortigan.train.Trainer;
import org.cortigan.train.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "train",
        description = "Trains a model by a recipe.",
        mixinStandardHelpOptions = true,
        footer = {"", "Ctrl-C ends the run after the step under way, with a checkpoint; --resume auto goes on."})
final class Train implements Callable<Integer> {
    @Mixin
    private Shared.Output output;

    @Mixin
    private Shared.Data data;

    @Mixin
    private Shared.Place place;

    @Option(
            names = {"-c", "--recipe"},
            required = true,
            paramLabel = "RECIPE",
            description = "Bundled name (see recipes) or YAML file.")
    private String recipe;

    @Option(
            names = {"-o", "--option"},
            paramLabel = "KEY=VALUE",
            description = "Changes one value of the recipe, by its path.")
    private List<String> options = List.of();

    @Option(
            names = "--subjects",
            split = ",",
            paramLabel = "N,N...",
            description =
                    "Several subjects at once: one backbone with a vector and a head of each; instead of --subject.")
    private List<Integer> subjects = List.of();

    @Option(names = "--run", paramLabel = "DIR", description = "The run's folder (default: runs/RECIPE-subj0X).")
    private Path run;

    @Option(
            names = "--precision",
            paramLabel = "P",
            description = "fp32, tf32 (NVIDIA's cards) or bf16, instead of the recipe's.")
    private String precision;

    @Option(names = "--seed", paramLabel = "N", description = "Instead of the recipe's.")
    private Long seed;

    @Option(
            names = "--resume",
            paramLabel = "auto|FILE",
            description = "auto: from last.safetensors in the run's folder if it is there; or from a checkpoint.")
    private String resume;

    @Option(
            names = "--init",
            paramLabel = "FILE",
            description = "Pre-trained ViT, safetensors with timm's or Hugging Face's names.")
    private Path init;

    @Option(names = "--dry-run", description = "Checks data and shapes, prints model and memory, trains nothing.")
    private boolean dryRun;

    @Option(names = "--fast-dev-run", description = "One epoch of 4 batches: whether everything works.")
    private boolean fast;

    @Option(names = "--json", description = "A line of JSON for each epoch on standard output.")
    private boolean json;

    @Override
    public Integer call() throws Exception {
        Recipe r = Recipe.load(recipe);
        for (String o : options) r = r.with(o);
        if (precision != null) r = r.with("train.precision", precision);
        if (seed != null) r = r.with("train.seed", seed);
        if (init != null) r = r.with("train.init", init.toString());
        if (fast) r = r.with("train.epochs", 1);
        int size = Generator.of(r.section("model").section("generator")).image();
        List<Integer> who = subjects.isEmpty() ? List.of(data.subject) : subjects;
        if (who.stream().distinct().count() < who.size())
            throw new InputException("--subjects " + who, "names one twice", "Name each once");
        Path folder = run != null
                ? run
                : Path.of(
                        "runs",
                        r.name() + "-"
                                + String.join(
                                        "-",
                                        who.stream()
                                                .map(AlgonautsSubject::folderName)
                                                .toList()));
        int few = 5 * r.section("train").integer("batch", 1);
        Deque<AutoCloseable> open = new ArrayDeque<>();
        try (Device device = place.open(output)) {
            Map<String, TrainingData> sets = new LinkedHashMap<>();
            for (int n : who) {
                AlgonautsSubject subject = AlgonautsSubject.open(data.data, n);
                open.push(subject);
                SubjectData all = new SubjectData(subject, size, data.cache(), output::note);
                open.push(all);
                subject.checkFinite();
                TrainingData used = fast && all.count() > few
                        ? new Subset(all, IntStream.range(0, few).toArray())
                        : all;
                sets.put(who.size() == 1 ? "" : AlgonautsSubject.folderName(n), used);
            }
            return train(r, sets, device, folder);
        } finally {
            while (!open.isEmpty()) open.pop().close();
        }
    }

    private int train(Recipe r, Map<String, TrainingData> sets, Device device, Path folder)
            throws InterruptedException {
        Path last = RunFolder.last(folder);
        Path from =
                resume == null ? null : resume.equals("auto") ? (Files.exists(last) ? last : null) : Path.of(resume);
        if (from == null && Files.exists(last) && !dryRun)
            throw new InputException(
                    folder.toString(),
                    "has a run already",
                    "Go on with it by --resume auto, or choose another folder by --run");
        if (!dryRun) RunFolder.create(folder);
        try (Trainer t = new Trainer(r, sets, device, dryRun ? null : folder, output::note)) {
            long[] p = t.parameters();
            output.note(String.format(
                    "%s: %s, discriminators %s; %,d + %,d parameters; %d training and %d validation images, %d steps an epoch",
                    r.name(),
                    t.config().generator().type(),
                    t.regions(),
                    p[0],
                    p[1],
                    t.trainingImages().length,
                    t.validationImages().length,
                    t.stepsPerEpoch()));
            if (t.pretrained() != null)
                output.note("initial weights: missing " + t.pretrained().missing() + ", unexpected "
                        + t.pretrained().unexpected());
            if (dryRun) {
                output.line("%s", t.config().generator());
                output.line("%s", t.config().discriminator());
                output.line("memory of a step: %s", t.plan());
                return 0;
            }
            if (from != null) {
                t.resume(from);
                output.note("resumed at step " + t.step() + " of " + t.steps());
            }
            boolean complete = run(t, r, device, folder, output, r.name(), json, "go on with --resume auto");
            if (!complete) return 130;
            Path best = RunFolder.best(folder);
            if (json) output.line("%s", Json.compact(Map.of("run", folder.toString(), "best", best.toString())));
            else output.line("%s", best);
            return 0;
        }
    }

    /**
     * Runs a trainer to its end with a run's files and progress. A signal ends it after the step under way.
     *
     * @param goOn what to do to go on with a run that was stopped
     * @return whether the run is complete
     */
    static boolean run(
            Trainer t,
            Recipe r,
            Device device,
            Path folder,
            Shared.Output output,
            String name,
            boolean json,
            String goOn) {
        Map<String, Object> environment = new LinkedHashMap<>();
        environment.put("processor", Native.cpu_features());
        environment.put("libraries", Native.library_versions());
        CountDownLatch done = new CountDownLatch(1);
        // A signal starts this hook, and the JVM ends when it returns: once the step and the checkpoint are done.
        Thread hook = new Thread(() -> {
            t.requestStop();
            try {
                done.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        try (RunFolder files = new RunFolder(folder, r, device, environment, t.step())) {
            t.addListener(files);
            t.addListener(new Progress(output, name, json));
            Runtime.getRuntime().addShutdownHook(hook);
            boolean complete = t.run();
            if (!complete) output.note("stopped after step " + t.step() + " of " + t.steps() + "; " + goOn);
            return complete;
        } finally {
            done.countDown();
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // the JVM is ending already: the hook has run
            }
        }
    }
}
