// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.exec.Device;
import org.cortigan.exec.Ranks;
import org.cortigan.experiment.Checkpoints;
import org.cortigan.experiment.TrainingRun;
import org.cortigan.experiment.TrainingSets;
import org.cortigan.io.FolderLock;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.model.BackboneRates;
import org.cortigan.model.Generator;
import org.cortigan.ranks.Launched;
import org.cortigan.report.LiveReport;
import org.cortigan.train.PretrainedRecipe;
import org.cortigan.train.QueryRegions;
import org.cortigan.train.Recipe;
import org.cortigan.train.RunFolder;
import org.cortigan.train.Trainer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
        name = "train",
        description = "Trains a model from a recipe.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Ctrl-C stops the run after the current step and writes a checkpoint; --resume auto continues from it."
        })
final class Train implements Callable<Integer> {
    /** Exit code of a run that a signal stopped. */
    static final int STOPPED = 130;
    /** Images of --fast-dev-run, in steps; the recipe holds some of these images out. */
    private static final int FAST_BATCHES = 5;
    /** Seconds that the live report's server waits for a request. */
    private static final String REQUEST_TIME = "sun.net.httpserver.maxReqTime";

    @Spec
    private CommandSpec spec;

    @Mixin
    private Output output;

    @Mixin
    private SubjectOptions subjectOptions;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private CeilingOptions ceiling;

    @Mixin
    private RecipeOptions recipeOptions;

    @Option(
            names = "--subjects",
            split = ",",
            paramLabel = "N,N...",
            description =
                    "Trains several subjects together, instead of --subject: they share the backbone, and each has its"
                            + " own vector and head.")
    private List<Integer> subjects = List.of();

    @Option(names = "--run", paramLabel = "DIR", description = "Run folder (default: runs/RECIPE-subj0X).")
    private @Nullable Path run;

    @Option(
            names = "--precision",
            paramLabel = "P",
            description = "fp32, tf32 (NVIDIA GPUs), bf16 or fp8 (NVIDIA GPUs from 8.9 on); overrides the recipe.")
    private @Nullable String precision;

    @Option(names = "--seed", paramLabel = "N", description = "Seed; overrides the recipe.")
    private @Nullable Long seed;

    @Option(
            names = "--resume",
            paramLabel = "auto|FILE|RUN",
            description =
                    "Checkpoint to resume from, or a run folder: its last.safetensors, or best.safetensors if that"
                            + " is missing; auto: that of this run's folder, or a new run without either.")
    private @Nullable String resume;

    @Option(
            names = "--allow-changes",
            description =
                    "Resumes even if values of the recipe's losses, optimizer or augmentation, or the means of the"
                            + " training responses, differ from the checkpoint's.")
    private boolean acceptsChanges;

    @Option(
            names = "--init",
            paramLabel = "FILE|RUN",
            description =
                    "Initial weights: a pre-trained ViT of the recipe's shape, safetensors of timm, DINOv2, Hugging Face or"
                            + " OpenCLIP; for a generator of type sd, Stable Diffusion 1.x, a folder or a file; or a run or"
                            + " checkpoint of the same network, whose backbone and readout new subjects begin with.")
    private @Nullable Path init;

    @Option(
            names = "--init-unet",
            paramLabel = "FILE|DIR",
            description =
                    "Initial weights of the UNet of a recipe with readout diffusion: Stable Diffusion 1.x, a folder of"
                            + " diffusers or a safetensors file.")
    private @Nullable Path initUnet;

    @Option(
            names = "--backbone",
            paramLabel = "FILE",
            description =
                    "Pre-trained ViT under any recipe: its generator's backbone becomes the ViT of the file, with the file's"
                            + " sizes, colours and weights.")
    private @Nullable Path backbone;

    @Option(
            names = "--dry-run",
            description = "Checks data and shapes, prints the model and its memory, and does not train.")
    private boolean dryRun;

    @Option(names = "--fast-dev-run", description = "Runs one epoch of 4 batches, to check that everything works.")
    private boolean fast;

    @Option(
            names = "--live",
            arity = "0..1",
            fallbackValue = "0",
            paramLabel = "PORT",
            description = "Serves the report of the run while it trains, to a browser on this machine, and prints its"
                    + " address (default port: any that is free).")
    private @Nullable Integer live;

    @Option(names = "--json", description = "Prints one line of JSON per epoch to standard output.")
    private boolean json;

    @Override
    public Integer call() {
        Ranks ranks = Launched.ranks();
        if (ranks.size() == 1) {
            int code = call(new RankedStart(ranks));
            ranks.leave();
            return code;
        }
        if (!ranks.isFirst()) output.silence();
        RankedStart start = new RankedStart(ranks);
        return start.run(() -> call(start), output.err());
    }

    private int call(RankedStart start) {
        Recipe r = recipe();
        int imageSize = Generator.of(r.section("model").section("generator")).image();
        int limit = fast ? limit(r) : Integer.MAX_VALUE;
        if (!subjects.isEmpty() && spec.commandLine().getParseResult().hasMatchedOption("--subject"))
            throw new InputException(
                    "--subject " + subjectOptions.number(),
                    "is given beside --subjects " + subjects,
                    "Name all subjects in --subjects, or give --subject alone");
        List<Integer> numbers = subjects.isEmpty() ? List.of(subjectOptions.number()) : subjects;
        if (numbers.stream().distinct().count() < numbers.size())
            throw new InputException("--subjects " + numbers, "names a subject twice", "Name each subject once");
        try (Device opened = device.open(output, start.ranks(), start.threads());
                TrainingSets sets = TrainingSets.open(subjectOptions.data(), numbers, imageSize, limit, output::note)) {
            return train(r, sets, opened, run != null ? run : defaultFolder(r, numbers), start);
        }
    }

    /** Images of --fast-dev-run. */
    private static int limit(Recipe r) {
        return (int) Math.min(Integer.MAX_VALUE, FAST_BATCHES * r.photographs());
    }

    /** The recipe with the overrides of the options. */
    private Recipe recipe() {
        if (init != null && backbone != null)
            throw new InputException("--backbone " + backbone, "is given beside --init", "Give one of them");
        Recipe r = recipeOptions.load(output, backbone);
        if (precision != null) r = r.with("train.precision", precision);
        if (seed != null) r = r.with("train.seed", seed);
        if (init != null) r = r.with("train.init", init.toString());
        if (initUnet != null) r = r.with("train.init_unet", initUnet.toString());
        if (fast) r = r.with("train.epochs", 1);
        return r;
    }

    private static Path defaultFolder(Recipe r, List<Integer> subjects) {
        return Path.of(
                "runs",
                r.name() + "-"
                        + subjects.stream().map(AlgonautsSubject::folderName).collect(Collectors.joining("-")));
    }

    private int train(Recipe r, TrainingSets sets, Device opened, Path folder, RankedStart start) {
        if (dryRun || !start.ranks().isFirst()) return run(r, sets, opened, folder, start);
        try (FolderLock lock = FolderLock.take(folder, Train.class, output::note)) {
            return run(r, sets, opened, folder, start);
        }
    }

    private int run(Recipe recipe, TrainingSets sets, Device opened, Path folder, RankedStart start) {
        Path checkpoint = start.fromFirst(() -> checkpointToResume(folder));
        Recipe r = checkpoint == null
                ? recipe
                : PretrainedRecipe.resumed(checkpoint, QueryRegions.namedLike(checkpoint, recipe));
        if (start.ranks().isFirst() && resume == null && !dryRun && hasCheckpoint(folder))
            throw new InputException(
                    folder.toString(),
                    "has a run already",
                    "Continue it with --resume auto, or choose another folder with --run");
        if (checkpoint != null) {
            noteWithoutEffect("--init", init, checkpoint);
            noteWithoutEffect("--init-unet", initUnet, checkpoint);
            noteWithoutEffect("--backbone", init != null ? null : backbone, checkpoint);
        }
        try (TrainingRun training =
                new TrainingRun(r, sets.bySubject(), opened, dryRun ? null : folder, output::note)) {
            training.madeBy(output.command());
            describe(r, training.trainer(), checkpoint == null);
            if (checkpoint != null) {
                training.resume(checkpoint, acceptsChanges);
                output.note("resumed at " + training.position() + " from " + checkpoint);
            }
            start.ready();
            if (dryRun) {
                training.trainer().measureResponses();
                printPlan(training.trainer());
                return 0;
            }
            if (!run(training, sets, folder)) return STOPPED;
        }
        if (start.ranks().isFirst()) printBest(folder);
        return 0;
    }

    /** Trains to the end; returns false if a signal stopped the run. */
    private boolean run(TrainingRun training, TrainingSets sets, Path folder) {
        Progress progress = new Progress(output, training.trainer().recipe().name(), json);
        Runnable whenStopped =
                () -> output.note("stopped after " + training.position() + "; continue with --resume auto");
        if (live == null || !training.trainer().ranks().isFirst()) return training.run(whenStopped, progress);
        if (training.trainer().photographs()[1] == 0)
            throw new InputException(
                    "--live",
                    "shows the validation r, but the run holds out no images",
                    "Set train.validation above 0, or leave --live out");
        // A connection that never asks must not keep one of the server's threads.
        if (System.getProperty(REQUEST_TIME) == null) System.setProperty(REQUEST_TIME, "10");
        try (LiveReport report = new LiveReport(
                folder, sets.subjects(), ceiling.unit(), live, output.command(), Version.name(), output::note)) {
            output.note("live report: " + report.url());
            return training.run(whenStopped, progress, report);
        }
    }

    private void noteWithoutEffect(String option, @Nullable Path given, Path checkpoint) {
        if (given != null)
            output.note(option + " " + given + " does not set the weights: they are those of " + checkpoint);
    }

    private static boolean hasCheckpoint(Path folder) {
        return Files.exists(RunFolder.last(folder)) || Files.exists(RunFolder.best(folder));
    }

    /** The checkpoint to resume from; null for a new run. */
    private @Nullable Path checkpointToResume(Path folder) {
        if (resume == null) return null;
        if (resume.equals("auto")) return Checkpoints.toResume(folder);
        Path named = InputFiles.path(resume);
        if (!Files.isDirectory(named)) return Checkpoints.find(named);
        Path checkpoint = Checkpoints.toResume(named);
        return checkpoint != null ? checkpoint : Checkpoints.find(named); // which says what the folder lacks
    }

    private void describe(Recipe r, Trainer trainer, boolean begins) {
        long[] parameters = trainer.parameters(), photographs = trainer.photographs();
        output.note(String.format(
                Locale.ROOT,
                "%s: %s, discriminators %s; %,d + %,d parameters; %d training and %d validation images,"
                        + " %d steps an epoch",
                r.name(),
                trainer.config().generator().backbone().type().label(),
                trainer.regions(),
                parameters[0],
                parameters[1],
                photographs[0],
                photographs[1],
                trainer.stepsPerEpoch()));
        if (trainer.freeze().isOn())
            output.note(String.format(
                    Locale.ROOT,
                    "frozen: %s, %,d parameters; %,d of the generator are trained",
                    trainer.freeze(),
                    trainer.frozenParameters(),
                    parameters[0]));
        if (!begins) return;
        trainer.initialWeights().forEach(note -> output.note("initial weights: " + note));
        if (trainer.freeze().isOn() && r.section("train").text("init").isEmpty())
            output.note("warning: what is frozen has random weights: name a file with --init");
        boolean fineTunes = trainer.config().generator().diffusion().isPresent()
                && r.section("optimizer").number(BackboneRates.UNET, 0) < 1;
        if (fineTunes
                && r.section("train").text("init").isEmpty()
                && r.section("train").text("init_unet").isEmpty())
            output.note("warning: the UNet has random weights and a low rate (optimizer.unet_rate):"
                    + " name a file with --init-unet, or set the rate to 1");
    }

    private void printPlan(Trainer trainer) {
        output.line("%s", trainer.config().generator());
        output.line("%s", trainer.config().discriminator().map(Object::toString).orElse("no discriminator"));
        output.line("memory of a step: %s", trainer.plan());
    }

    private void printBest(Path folder) {
        Path best = Checkpoints.find(folder);
        if (json)
            output.line("%s", Json.compact(new TreeMap<>(Map.of("run", folder.toString(), "best", best.toString()))));
        else output.line("%s", best);
    }
}
