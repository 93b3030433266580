// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;

/**
 * Runs a call's stages in order under one deadline. Each stage gets a share of the remaining time: its expected seconds
 * over those of all remaining stages. A fast stage leaves its time to the later ones; a hanging stage loses only its
 * own. If a process dies or hangs in an item, a new process continues after that item. The report is written after
 * every stage.
 */
final class Driver {
    static final String GOLDEN = "gan_20_steps.safetensors";
    private static final int RESTARTS = 15;
    /** Steps of Stable Diffusion's UNet: the smaller batch, and the larger. */
    private static final List<String> SD = List.of("step sd 16", "step sd 32");

    /**
     * @param restarts whether a new process can continue after an item, given by {@code --after ITEM}
     * @param ours whether the process is a {@link Piece}, which uses the NVIDIA libraries that tools/gpu-check found;
     *     else it is PyTorch
     */
    private record Command(List<String> words, boolean restarts, boolean ours) {}

    /**
     * @param name the name in the report and in the result lines about its processes
     * @param seconds expected on a GPU
     * @param patience seconds that one item may take before its process counts as hung
     * @param lanes number of its processes that run at a time
     */
    private record Stage(String name, double seconds, double patience, int lanes, Commands commands) {}

    /** Lists a stage's processes when the stage begins. */
    private interface Commands {
        /** @param seconds the stage's time limit */
        List<Command> of(double seconds);
    }

    private final Options options;
    private final Results results;
    private final long begin = System.nanoTime();
    private final Path cache;
    private Peers peers;

    Driver(Options options) throws IOException {
        this.options = options;
        results = new Results(options.out(), options.call().text());
        cache = options.work().resolve("cache");
        Files.createDirectories(cache);
    }

    /** @return whether no line reports a failure */
    boolean run() throws Exception {
        try (Card card = new Card(options)) {
            peers = new Peers(options);
            results.add(environment(card));
            List<Stage> stages = options.call() == Options.Call.SMOKE ? smoke() : measure();
            for (String name : options.stages())
                if (stages.stream().noneMatch(s -> s.name.equals(name)))
                    throw new InputException(
                            "gpu-check --stages",
                            "'" + name + "' is unknown",
                            "Use one or more of "
                                    + stages.stream()
                                            .map(Stage::name)
                                            .distinct()
                                            .collect(Collectors.joining(", ")));
            stages.removeIf(
                    s -> !options.stages().isEmpty() && !options.stages().contains(s.name));
            for (int i = 0; i < stages.size(); i++) {
                double sum = 0;
                for (Stage s : stages.subList(i, stages.size())) sum += s.seconds;
                stage(stages.get(i), stages.get(i).seconds / sum, card);
            }
        }
        System.out.print(Files.readString(options.out().resolve("report.md")));
        return results.lines().stream().noneMatch(Report::wrong);
    }

    private double left() {
        return options.seconds() - (System.nanoTime() - begin) / 1e9;
    }

    private void stage(Stage s, double share, Card card) throws Exception {
        double limit = left() * share;
        if (left() < 1) {
            ended(s.name, null, "not started: the call ran out of time");
            publish();
            return;
        }
        System.out.printf(Locale.ROOT, "== %s, at most %.0f s of %.0f%n", s.name, limit, left());
        long t = System.nanoTime(), deadline = t + (long) (limit * 1e9);
        card.begin();
        ExecutorService pool = Executors.newFixedThreadPool(s.lanes);
        try {
            List<Future<?>> all = new ArrayList<>();
            for (Command c : s.commands.of(limit)) all.add(pool.submit(() -> work(s, c, deadline)));
            for (Future<?> f : all) f.get();
        } catch (ExecutionException e) {
            ended(s.name, null, "" + e.getCause());
        } finally {
            pool.shutdownNow();
            pool.awaitTermination(5, TimeUnit.SECONDS);
        }
        double seconds = (System.nanoTime() - t) / 1e9;
        Map<String, Object> clocks = card.end();
        results.add(map(
                "stage",
                "took",
                "name",
                s.name,
                "seconds",
                Math.round(seconds * 10) / 10.0,
                "share",
                Math.round(limit)));
        if (clocks != null) {
            clocks.put("name", s.name);
            results.add(clocks);
        }
        publish();
    }

    private void publish() {
        try {
            results.publish(cache.resolve("algorithms.json"));
        } catch (RuntimeException e) {
            // the lines are kept, so a later stage may still write the report
            results.log("report not written: " + e + "\n");
            System.err.println("report not written: " + e);
        }
    }

    private Void work(Stage s, Command c, long deadline) throws InterruptedException {
        String after = null;
        for (int i = 0; i <= RESTARTS; i++) {
            List<String> words = new ArrayList<>(c.words);
            if (after != null) words.addAll(List.of("--after", after));
            if (System.nanoTime() - deadline > 0) {
                ended(s.name, after == null ? null : "items after " + after, "not started: the stage ran out of time");
                return null;
            }
            Child.Outcome o = Child.run(words, variables(c.ours), s.patience, deadline, results);
            if (o.summary() != null)
                results.add(map(
                        "stage",
                        s.name,
                        "name",
                        words.get(words.indexOf("--tool") + 1),
                        "result",
                        o.summary().replaceFirst("^=+ *", "")));
            if (o.end() == Child.End.DONE) return null;
            // PyTorch running out of time is not a failure
            ended(s.name, o.item(), !c.ours && o.end() == Child.End.OUT_OF_TIME ? "not measured: " + o.why() : o.why());
            if (o.item() == null || !c.restarts || o.end() == Child.End.OUT_OF_TIME) return null;
            after = o.item();
        }
        ended(s.name, "items after " + after, "not started: " + RESTARTS + " restarts are used up");
        return null;
    }

    private void ended(String stage, String item, String why) {
        Map<String, Object> m = map("stage", "ended", "name", stage);
        if (item != null) m.put("item", item);
        m.put("why", why);
        results.add(m);
    }

    private Map<String, String> variables(boolean ours) {
        Map<String, String> m = new HashMap<>();
        if (ours) {
            // Several processes check ops at once: waiting OpenMP threads must not hold a core.
            m.put("OMP_WAIT_POLICY", "passive");
            return m;
        }
        m.put("TORCHINDUCTOR_CACHE_DIR", options.work().resolve("inductor").toString());
        m.put("TRITON_CACHE_DIR", options.work().resolve("triton").toString());
        // PyTorch ships its own CUDA libraries: the toolkit's must not come before them.
        m.put(
                "LD_LIBRARY_PATH",
                System.getenv()
                        .getOrDefault(
                                "GPU_CHECK_LD_LIBRARY_PATH", System.getenv().getOrDefault("LD_LIBRARY_PATH", "")));
        return m;
    }

    private Map<String, Object> environment(Card card) throws IOException {
        Map<String, Object> m = map(
                "stage",
                "environment",
                "name",
                options.call().text(),
                "at",
                Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
                "device",
                options.device(),
                "size",
                options.small() ? "small" : "full");
        Path revision = options.files().resolve("revision");
        if (Files.exists(revision)) m.put("revision", Files.readString(revision).strip());
        card.describe(m);
        peers.describe(m);
        return m;
    }

    private List<String> java(String... properties) {
        List<String> w = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                "-Dcortigan.cuda.cache=" + cache));
        for (String k :
                System.getProperties().stringPropertyNames().stream().sorted().toList())
            if ((k.startsWith("cortigan.") || k.startsWith("org.bytedeco.")) && !k.equals("cortigan.cuda.cache"))
                w.add("-D" + k + "=" + System.getProperty(k));
        for (String p : properties) w.add("-D" + p);
        return w;
    }

    /** A process that runs a {@link Piece}. */
    private Command piece(String what, String... more) {
        return new Command(words(java(), what, more), true, true);
    }

    private List<String> words(List<String> java, String what, String... more) {
        List<String> w = new ArrayList<>(java);
        w.addAll(List.of(
                GpuCheck.class.getName(),
                "piece",
                what,
                "--device",
                options.device(),
                "--measured",
                results.measured().toString(),
                "--golden",
                options.files().resolve(GOLDEN).toString()));
        if (options.small()) w.add("--small");
        for (String p : options.plant()) w.addAll(List.of("--plant", p));
        w.addAll(List.of(more));
        return w;
    }

    /** The stages of {@code smoke}: whether the product runs, where the time goes, whether it is right. */
    private List<Stage> smoke() {
        int lanes = Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors() / 4));
        List<String> families = options.families().isEmpty() ? Piece.families() : options.families();
        // algorithms timed at odd shapes, by several processes at once, stay out of the cache that is kept
        List<String> java = java("cortigan.cuda.cache=" + options.work().resolve("ops"));
        List<Stage> s = new ArrayList<>();
        s.add(new Stage("libraries", 15, 20, 1, t -> List.of(piece("libraries"))));
        s.add(new Stage("ceilings", 12, 20, 1, t -> List.of(piece("ceilings"))));
        s.add(new Stage(
                "steps",
                85,
                60,
                1,
                t -> List.of(piece(
                        "steps",
                        "--items",
                        "step none,step vit,step conv" + (options.cuda() ? ",step none fp8" : "") + "," + SD.get(1),
                        "--profile"))));
        s.add(new Stage(
                "ops",
                85,
                options.small() ? 6 : 25,
                lanes,
                t -> families.stream()
                        .map(f -> new Command(words(java, "ops", "--items", f), true, true))
                        .toList()));
        s.add(new Stage("train", 20, 15, 1, t -> List.of(piece("train"))));
        return s;
    }

    /**
     * The stages of {@code measure}. Cheap and informative stages come first; the most important measurements run
     * before and after PyTorch's. NVIDIA's checkers come last and get the remaining time.
     */
    private List<Stage> measure() {
        List<Stage> s = new ArrayList<>();
        String steps = options.cuda()
                ? "step none,step none wgmma,step none fp8,step vit,step vit wgmma,step conv"
                : "step none,step vit,step conv";
        s.add(new Stage("libraries", 8, 20, 1, t -> List.of(piece("libraries"))));
        s.add(new Stage("ceilings", 6, 20, 1, t -> List.of(piece("ceilings"))));
        s.add(new Stage("kernels", 70, 30, 1, t -> List.of(piece("kernels"))));
        peer(s, "steps, PyTorch eager", 55, 60, "steps", "--modes", "eager,graph");
        s.add(new Stage("steps", 40, 30, 1, t -> List.of(piece("steps", "--items", steps))));
        s.add(new Stage("steps, diffusion", 50, 60, 1, t -> List.of(piece("steps", "--items", String.join(",", SD)))));
        peer(s, "steps, diffusion, PyTorch", 50, 90, "sd", "--modes", "eager,compiled");
        peer(s, "kernels, PyTorch eager", 40, 60, "kernels", "--modes", "eager");
        peer(
                s,
                "steps, PyTorch compiled by block",
                48,
                90,
                "steps",
                "--modes",
                "reduce-overhead",
                "--items",
                items("reduce-overhead blocks", "none", "vit", "conv"));
        peer(s, "kernels, PyTorch compiled", 30, 60, "kernels", "--modes", "max-autotune");
        s.add(new Stage(
                "again",
                25,
                30,
                1,
                t -> List.of(
                        piece("steps", "--items", "step none,step vit"),
                        piece("kernels", "--items", String.join(",", OwnKernels.AGAIN)))));
        peer(
                s,
                "steps, PyTorch compiled",
                60,
                120,
                "steps",
                "--modes",
                "reduce-overhead",
                "--items",
                items("reduce-overhead", "none", "vit"));
        peer(
                s,
                "steps, PyTorch max-autotune",
                60,
                120,
                "steps",
                "--modes",
                "max-autotune",
                "--items",
                items("max-autotune blocks", "none", "vit"));
        if (options.cuda()) {
            s.add(sanitizer("memcheck", 15));
            s.add(sanitizer("racecheck", 10));
            s.add(sanitizer("synccheck", 5));
            s.add(new Stage("ncu", 8, 30, 1, t -> ncu()));
        }
        return s;
    }

    private void peer(List<Stage> s, String name, double seconds, double patience, String script, String... more) {
        if (peers.torch())
            s.add(new Stage(
                    name, seconds, patience, 1, t -> List.of(new Command(peers.command(script, more), true, false))));
        else ended(name, null, "not measured: no PyTorch in " + options.python());
    }

    /** Names of the PyTorch script's items. */
    private static String items(String mode, String... gans) {
        return Stream.of(gans).map(g -> "step " + g + " " + mode).collect(Collectors.joining(","));
    }

    /**
     * Runs a compute-sanitizer tool. Matrix products use own kernels, because the tool would also instrument NVIDIA's
     * library modules, which are not under test. The process gets 8 s less than the stage, which leaves time for the
     * tool's summary.
     */
    private Stage sanitizer(String tool, double seconds) {
        return new Stage("sanitizer", seconds, 60, 1, limit -> {
            Path program = Card.tool("compute-sanitizer");
            if (program == null) {
                ended("sanitizer", tool, "not measured: no compute-sanitizer on the PATH or in /usr/local/cuda/bin");
                return List.of();
            }
            List<String> w = new ArrayList<>(
                    List.of(program.toString(), "--target-processes", "all", "--tool", tool, "--error-exitcode", "9"));
            w.addAll(words(
                    java("cortigan.cuda.ownProducts=true"),
                    "ops",
                    "--sample",
                    "--seconds",
                    "" + Math.max(1, Math.round(limit - 8))));
            return List.of(new Command(w, false, true));
        });
    }

    private List<Command> ncu() {
        Path program = Card.tool("ncu");
        if (program == null) {
            ended("ncu", null, "not measured: no ncu on the PATH or in /usr/local/cuda/bin");
            return List.of();
        }
        List<String> w =
                new ArrayList<>(List.of(program.toString(), "--set", "basic", "--clock-control", "none", "-c", "40"));
        w.addAll(words(java(), "kernels", "--once", "--items", String.join(",", OwnKernels.PROFILED)));
        return List.of(new Command(w, false, true));
    }

    /** The standard output of a program, stripped; empty if it fails or takes more than 20 s. */
    static String output(String... command) {
        try {
            Process p = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            p.getOutputStream().close();
            if (!p.waitFor(20, TimeUnit.SECONDS)) {
                p.destroyForcibly();
                return "";
            }
            return p.exitValue() != 0
                    ? ""
                    : new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        } catch (IOException e) {
            return "";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }
}
