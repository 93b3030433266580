// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.cortigan.InputException;
import org.cortigan.cuda.CudaProvider;
import org.cortigan.cuda.Exported;
import org.cortigan.exec.ComputeCapability;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Served;
import org.cortigan.exec.Session;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.io.Json;
import org.cortigan.op.OpCases;
import org.cortigan.prof.Ceilings;

/**
 * A process that checks or measures this product: opens the device, runs items one by one and prints their results in
 * the protocol of {@link Child}.
 */
final class Piece implements AutoCloseable {
    /** One thing to check or measure. */
    interface Item {
        void run() throws Exception;
    }

    /** The device of the current item; {@link #preferring} changes it. */
    Device device;

    final boolean small;
    private final Map<String, String> arguments = new LinkedHashMap<>();
    private final List<String> plant = new ArrayList<>();
    private final Map<String, Item> items = new LinkedHashMap<>();
    private final Map<String, Map<String, Object>> failureFields = new LinkedHashMap<>();
    private final long begin = System.nanoTime();

    private Piece(String[] a) {
        for (int i = 2; i < a.length; i++) {
            if (List.of("--small", "--profile", "--sample", "--once").contains(a[i])) arguments.put(a[i], "");
            else if (a[i].equals("--plant")) plant.add(a[++i]);
            else arguments.put(a[i], a[++i]);
        }
        small = has("--small");
        device = Devices.open(
                arguments.get("--device"), 0, text -> line(map("stage", "note", "name", a[1], "text", text)));
    }

    static void main(String[] a) {
        try (Piece p = new Piece(a)) {
            switch (a[1]) {
                case "libraries" -> p.item("libraries", map("stage", "libraries"), p::libraries);
                case "ceilings" -> p.item("ceilings", map("stage", "ceilings"), p::measureCeilings);
                case "steps" -> OwnSteps.add(p);
                case "kernels" -> OwnKernels.add(p);
                case "ops" -> OwnOps.add(p);
                case "train" -> OwnOps.addTraining(p, Path.of(p.arguments.get("--golden")));
                default -> throw new IllegalArgumentException("no piece " + a[1]);
            }
            int status = p.work();
            if (status != 0) Runtime.getRuntime().halt(status); // the context is lost: closing the device would fail
        } catch (InputException e) {
            System.out.println(e.getMessage());
            System.exit(2);
        }
    }

    /**
     * The op families: the first words of the case names. Each family is checked in its own process; the families that
     * dominate a training step come first.
     */
    static List<String> families() {
        Set<String> all = new LinkedHashSet<>(List.of(
                "matmul",
                "linear_grad",
                "attention",
                "layernorm",
                "GELU",
                "adamw",
                "pearson_loss",
                "spectral_norm",
                "conv2d",
                "grouped_conv1d",
                "grouped_matmul"));
        OpCases.all().stream().filter(c -> !c.bench()).forEach(c -> all.add(OwnOps.family(c)));
        return List.copyOf(all);
    }

    boolean has(String option) {
        return arguments.containsKey(option);
    }

    /** The names given by {@code --items}; empty for all. */
    List<String> asked() {
        String s = arguments.getOrDefault("--items", "");
        return s.isEmpty() ? List.of() : List.of(s.split(","));
    }

    /** @param fields of the result line if the item fails, besides its name */
    void item(String name, Map<String, Object> fields, Item what) {
        items.put(name, what);
        failureFields.put(name, fields);
    }

    /**
     * The beginning of a result line: what ran, where, and its times.
     *
     * @param ms times of all runs in milliseconds, ascending
     */
    Map<String, Object> measured(String stage, String name, double[] ms) {
        return map(
                "stage",
                stage,
                "name",
                name,
                "who",
                "ours",
                "device",
                device.name(),
                "precision",
                half(),
                "ms",
                ms[ms.length / 2],
                "ms_least",
                ms[0],
                "runs",
                ms.length);
    }

    static void line(Map<String, Object> m) {
        System.out.println("@line " + Json.compact(m));
        System.out.flush();
    }

    private int work() {
        String after = arguments.get("--after");
        boolean skip = after != null && items.containsKey(after);
        for (Map.Entry<String, Item> e : items.entrySet()) {
            String name = e.getKey();
            if (skip) {
                skip = !name.equals(after);
                continue;
            }
            if ((System.nanoTime() - begin) / 1e9 > Double.parseDouble(arguments.getOrDefault("--seconds", "1e9"))) {
                System.out.println(name + " and the items after it were not started: the time limit is reached");
                return 0;
            }
            System.out.println("@begin " + name);
            System.out.flush();
            try {
                injectFault(name);
                e.getValue().run();
            } catch (Throwable t) {
                Map<String, Object> failed = map("stage", "", "name", name, "device", device.name());
                failed.putAll(failureFields.get(name));
                failed.put("failure", firstLine(t));
                line(failed);
                t.printStackTrace(System.out);
                if (!alive()) {
                    System.out.println("@fatal " + name);
                    System.out.flush();
                    return 3;
                }
            }
        }
        return 0;
    }

    static String firstLine(Throwable t) {
        String s = t.getMessage() == null ? t.toString() : t.getMessage();
        return s.lines().findFirst().orElse(t.toString());
    }

    private void injectFault(String name) throws InterruptedException {
        if (plant.contains("dies:" + name)) Runtime.getRuntime().halt(134);
        if (plant.contains("hangs:" + name)) Thread.sleep(Long.MAX_VALUE);
    }

    /** Whether the device still works. After a kernel fault it does not for the rest of the process. */
    private boolean alive() {
        try {
            device.runtime().synchronize();
        } catch (RuntimeException e) {
            // may be the error of earlier work; the next calls decide
        }
        try {
            device.allocate(1 << 20).close();
            device.runtime().synchronize();
            return true;
        } catch (RuntimeException | Error e) {
            return false;
        }
    }

    /** The device's implementations of attention on tensor cores; first that of every card. */
    List<String> attentions() {
        return device.capability().filter(ComputeCapability.HOPPER::equals).isPresent()
                ? List.of("mma", "wgmma")
                : List.of("mma");
    }

    /** Runs an item on a device that prefers an implementation, then restores the device. */
    void preferring(String implementation, Item what) throws Exception {
        Device before = device;
        if (attentions().size() > 1) device = before.preferring(implementation);
        try {
            what.run();
        } finally {
            device = before;
        }
    }

    DType half() {
        return device.supports(DType.BF16) ? DType.BF16 : DType.F32;
    }

    private void libraries() throws IOException {
        List<String> versions = new ArrayList<>();
        Devices.providers().forEach(p -> versions.addAll(p.report())); // makes every provider load its libraries
        TreeSet<String> files = new TreeSet<>();
        for (String s : Files.readAllLines(Path.of("/proc/self/maps"), StandardCharsets.UTF_8)) {
            int at = s.indexOf('/');
            if (at >= 0
                    && s.substring(at)
                            .matches(
                                    ".*/lib(cuda|cudart|cublas|cublasLt|cudnn|cudnn_[a-z_]+|nccl|cortigan_[a-z]+|dnnl)\\.so.*"))
                files.add(s.substring(at));
        }
        line(map(
                "stage",
                "libraries",
                "name",
                "ours",
                "device",
                device.name(),
                "versions",
                versions,
                "files",
                List.copyOf(files)));
        if (device.capability().isPresent()) exported(files);
    }

    /**
     * Checks that NVIDIA's libraries export every function that the classes call: calling a missing one ends the
     * process. A machine with one card need not have NCCL; the line of the libraries says so.
     */
    private void exported(Set<String> files) throws IOException {
        Map<String, Object> missing = new TreeMap<>();
        int n = 0;
        try {
            Path classes = Path.of(CudaProvider.class
                    .getProtectionDomain()
                    .getCodeSource()
                    .getLocation()
                    .toURI());
            for (Map.Entry<String, Set<String>> e : Exported.called(classes).entrySet()) {
                List<Path> loaded = files.stream()
                        .map(Path::of)
                        .filter(f -> Exported.libraries(e.getKey()).stream()
                                .anyMatch(l -> f.getFileName().toString().startsWith(l)))
                        .toList();
                if (loaded.isEmpty() && e.getKey().equals("nccl")) continue;
                Set<String> left = new TreeSet<>(e.getValue());
                n += left.size();
                for (Path f : loaded) left.removeAll(Exported.of(f));
                if (!left.isEmpty()) missing.put(e.getKey(), List.copyOf(left));
            }
        } catch (URISyntaxException e) {
            throw new IOException(e);
        }
        Map<String, Object> l = map("stage", "libraries", "name", "exported", "device", device.name(), "functions", n);
        if (!missing.isEmpty()) l.put("failure", "the loaded libraries do not export " + missing);
        line(l);
    }

    private void measureCeilings() {
        Ceilings c = Ceilings.measure(device, small ? 512 : 8192, small ? 1 << 20 : 1 << 27);
        line(map(
                "stage",
                "ceilings",
                "name",
                "ceilings",
                "device",
                c.device(),
                "flops_f32",
                c.flopsF32(),
                "flops_bf16",
                c.flopsBf16(),
                "bytes_per_second",
                c.bandwidth()));
    }

    /** The ceilings that the ceilings stage measured, or measures them if it left none. */
    Ceilings ceilings() throws IOException {
        Ceilings found = null;
        Path file = Path.of(arguments.get("--measured"));
        if (Files.exists(file))
            for (String s : Files.readAllLines(file, StandardCharsets.UTF_8)) {
                if (!s.contains("\"ceilings\"")) continue;
                Map<String, Object> m = Json.object(Json.parse(s, "measured.jsonl"), "measured.jsonl");
                if (m.get("stage").equals("ceilings") && m.get("device").equals(device.name()))
                    found = new Ceilings(
                            device.name(),
                            number(m, "flops_f32"),
                            number(m, "flops_bf16"),
                            number(m, "bytes_per_second"));
            }
        return found != null ? found : Ceilings.measure(device, small ? 512 : 8192, small ? 1 << 20 : 1 << 27);
    }

    /**
     * Counts a session's nodes by who computes them: each library, own kernels by design, own kernels after a library
     * refused (with its reasons), and all other kernels.
     */
    Map<String, Object> served(Session s) {
        Map<String, Integer> by = new TreeMap<>();
        Set<String> refused = new TreeSet<>();
        for (Node n : s.launched()) {
            Served who = s.served(n);
            String name = !who.own() ? who.by() : Served.OWN + (who.refused() ? ", refused" : ", by design");
            by.merge(who.libraryWork() ? name : "other kernels", 1, Integer::sum);
            if (who.refused()) refused.add(who.why());
        }
        Map<String, Object> m = new LinkedHashMap<>(by);
        if (!refused.isEmpty()) m.put("refused", List.copyOf(refused));
        return m;
    }

    private static double number(Map<String, Object> m, String key) {
        return ((Number) m.get(key)).doubleValue();
    }

    @Override
    public void close() {
        device.close();
    }
}
