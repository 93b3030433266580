package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.data.Json;
import org.cortigan.exec.Device;
import org.cortigan.jni.Native;
import org.cortigan.model.Generator;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.SubjectData;
import org.cortigan.train.Trainer;
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

    @Option(names = {"-c", "--recipe"}, required = true, paramLabel = "RECIPE", description = "Bundled name (see recipes) or YAML file.")
    private String recipe;

    @Option(names = {"-o", "--option"}, paramLabel = "KEY=VALUE", description = "Changes one value of the recipe, by its path.")
    private List<String> options = List.of();

    @Option(names = "--run", paramLabel = "DIR", description = "The run's folder (default: runs/RECIPE-subj0X).")
    private Path run;

    @Option(names = "--precision", paramLabel = "P", description = "fp32, tf32 (NVIDIA's cards) or bf16, instead of the recipe's.")
    private String precision;

    @Option(names = "--seed", paramLabel = "N", description = "Instead of the recipe's.")
    private Long seed;

    @Option(names = "--resume", paramLabel = "auto|FILE",
            description = "auto: from last.safetensors in the run's folder if it is there; or from a checkpoint.")
    private String resume;

    @Option(names = "--init", paramLabel = "FILE", description = "Pre-trained ViT, safetensors with timm's or Hugging Face's names.")
    private Path init;

    @Option(names = "--dry-run", description = "Checks data and shapes, prints model and memory, trains nothing.")
    private boolean dryRun;

    @Option(names = "--fast-dev-run", description = "One epoch of 4 batches: whether everything works.")
    private boolean fast;

    @Option(names = "--json", description = "A line of JSON for each epoch on standard output.")
    private boolean json;

    @Override
    public Integer call() throws InterruptedException {
        Recipe r = Recipe.load(recipe);
        for (String o : options) r = r.with(o);
        if (precision != null) r = r.with("train.precision", precision);
        if (seed != null) r = r.with("train.seed", seed);
        if (init != null) r = r.with("train.init", init.toString());
        if (fast) r = r.with("train.epochs", 1);
        Generator g = Generator.of(r.section("model").section("generator"));
        try (Device device = place.open(output);
                AlgonautsSubject subject = data.open();
                SubjectData all = new SubjectData(subject, g.image(), data.cache(), output::note)) {
            subject.checkFinite();
            Path folder = run != null ? run : Path.of("runs", r.name() + "-" + AlgonautsSubject.folderName(data.subject));
            int few = 5 * r.section("train").integer("batch", 1);
            return train(r, fast && all.count() > few ? new First(all, few) : all, device, folder);
        }
    }

    private int train(Recipe r, org.cortigan.train.TrainingData set, Device device, Path folder) throws InterruptedException {
        Path last = RunFolder.last(folder);
        Path from = resume == null ? null : resume.equals("auto") ? (Files.exists(last) ? last : null) : Path.of(resume);
        if (from == null && Files.exists(last) && !dryRun)
            throw new InputException(folder.toString(), "has a run already", "Go on with it by --resume auto, or choose another folder by --run");
        if (!dryRun) RunFolder.create(folder);
        try (Trainer t = new Trainer(r, set, device, dryRun ? null : folder)) {
            long[] p = t.parameters();
            output.note(String.format("%s: %s, discriminators %s; %,d + %,d parameters; %d training and %d validation images, %d steps an epoch",
                    r.name(), t.config().generator().type(), t.config().parts().stream().map(d -> d.name()).toList(), p[0], p[1],
                    t.trainingImages().length, t.validationImages().length, t.stepsPerEpoch()));
            if (t.pretrained() != null)
                output.note("initial weights: missing " + t.pretrained().missing() + ", unexpected " + t.pretrained().unexpected());
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
            boolean complete;
            try (RunFolder files = new RunFolder(folder, r, device, environment, t.step())) {
                t.addListener(files);
                t.addListener(new Progress(output, r.name(), json));
                Runtime.getRuntime().addShutdownHook(hook);
                complete = t.run();
                if (!complete)
                    output.note("stopped after step " + t.step() + " of " + t.steps() + "; go on with --resume auto");
            } finally {
                done.countDown();
                try {
                    Runtime.getRuntime().removeShutdownHook(hook);
                } catch (IllegalStateException e) {
                    // the JVM is ending already: the hook has run
                }
            }
            if (!complete) return 130;
            Path best = RunFolder.best(folder);
            if (json) output.line("%s", Json.compact(Map.of("run", folder.toString(), "best", best.toString())));
            else output.line("%s", best);
            return 0;
        }
    }

    /** The first photographs of a data set. */
    private record First(org.cortigan.train.TrainingData all, int count) implements org.cortigan.train.TrainingData {
        @Override
        public int leftVertices() {
            return all.leftVertices();
        }

        @Override
        public int rightVertices() {
            return all.rightVertices();
        }

        @Override
        public void image(int i, java.nio.ByteBuffer into) {
            all.image(i, into);
        }

        @Override
        public void responses(int i, java.nio.ByteBuffer into) {
            all.responses(i, into);
        }
    }
}
