// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * Queries nvidia-smi: a description of the card once, and clocks, power and temperature all the time. Changes none of
 * the card's settings.
 */
final class Card implements AutoCloseable {
    private static final String[] SAMPLED = {"sm_mhz", "memory_mhz", "power_w", "temperature_c"};
    private final String number;
    private final boolean here;
    private final Process sampler;
    private final List<String> samples = new ArrayList<>();

    Card(Options o) {
        number = o.device().contains(":") ? o.device().substring(o.device().indexOf(':') + 1) : "0";
        here = o.cuda() && !query("name").isEmpty();
        sampler = here ? sample() : null;
    }

    private String query(String what) {
        return Driver.output("nvidia-smi", "-i", number, "--query-gpu=" + what, "--format=csv,noheader");
    }

    private Process sample() {
        try {
            Process p = new ProcessBuilder(
                            "nvidia-smi",
                            "-i",
                            number,
                            "--format=csv,noheader,nounits",
                            "-lms",
                            "250",
                            "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active")
                    .redirectErrorStream(true)
                    .start();
            Thread t = new Thread(() -> read(p), "nvidia-smi");
            t.setDaemon(true);
            t.start();
            return p;
        } catch (IOException e) {
            return null;
        }
    }

    private void read(Process p) {
        try (BufferedReader in =
                new BufferedReader(new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8))) {
            for (String s = in.readLine(); s != null; s = in.readLine())
                synchronized (samples) {
                    samples.add(s);
                }
        } catch (IOException e) {
            // the sampler has been stopped
        }
    }

    void describe(Map<String, Object> m) {
        m.put("gpu", here ? query("name,driver_version,memory.total,power.limit,clocks.max.sm") : "none");
        m.put("toolkit", Driver.output("nvcc", "--version").replaceFirst("(?s).*release ([0-9.]+).*", "$1"));
        m.put("processors", Runtime.getRuntime().availableProcessors());
        try {
            for (String s : Files.readAllLines(Path.of("/proc/cpuinfo")))
                if (s.startsWith("model name")) m.putIfAbsent("processor", s.replaceFirst(".*: ", ""));
        } catch (IOException e) {
            // not Linux
        }
    }

    void begin() {
        synchronized (samples) {
            samples.clear();
        }
    }

    /**
     * Minimum, median and maximum of the samples since {@link #begin}, and the reasons for reduced clocks; null without
     * samples.
     */
    Map<String, Object> end() {
        List<String> all;
        synchronized (samples) {
            all = List.copyOf(samples);
        }
        double[][] v = new double[SAMPLED.length][all.size()];
        TreeSet<String> reasons = new TreeSet<>();
        int n = 0;
        for (String s : all) {
            String[] f = s.split(", *");
            if (f.length != SAMPLED.length + 1) continue;
            try {
                for (int k = 0; k < SAMPLED.length; k++) v[k][n] = Double.parseDouble(f[k].strip());
            } catch (NumberFormatException e) {
                continue;
            }
            reasons.add(f[SAMPLED.length].strip());
            n++;
        }
        if (n == 0) return null;
        Map<String, Object> m = map("stage", "clocks", "name", "", "samples", n);
        for (int k = 0; k < SAMPLED.length; k++) {
            double[] x = Arrays.copyOf(v[k], n);
            Arrays.sort(x);
            m.put(SAMPLED[k], List.of(x[0], x[n / 2], x[n - 1]));
        }
        m.put("event_reasons", List.copyOf(reasons));
        return m;
    }

    /** The path of a CUDA toolkit program, or null. */
    static Path tool(String name) {
        List<String> folders =
                new ArrayList<>(List.of(System.getenv().getOrDefault("PATH", "").split(":")));
        folders.add("/usr/local/cuda/bin");
        for (String f : folders) if (!f.isEmpty() && Files.isExecutable(Path.of(f, name))) return Path.of(f, name);
        return null;
    }

    @Override
    public void close() {
        if (sampler != null) sampler.destroyForcibly();
    }
}
