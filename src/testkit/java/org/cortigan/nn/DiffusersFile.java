// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.cortigan.exec.Variables;
import org.cortigan.io.SafeTensors;

/** Golden files made with diffusers, and the names of Stable Diffusion's parameters. */
public final class DiffusersFile {
    private static final Path FOLDER = Path.of("src/test/resources/sd");

    private DiffusersFile() {}

    public static SafeTensors open(String name) {
        return SafeTensors.open(FOLDER.resolve(name + ".safetensors"));
    }

    /** Sets the parameters that a session reads, or their copies in bf16, to those of a file. */
    public static void load(SafeTensors from, Weights w, Variables vars) {
        for (Weights.Spec s : w.specs())
            for (String name : List.of(s.name(), Weights.copyName(s.name())))
                if (vars.types().containsKey(name)) vars.find(name).write(from.floats(s.name()));
    }

    /** The numbers of x [B, C, N], as [B, N, C]. */
    public static float[] channelsLast(float[] x, int b, int c) {
        int n = x.length / b / c;
        float[] y = new float[x.length];
        for (int i = 0; i < b; i++)
            for (int k = 0; k < c; k++) for (int p = 0; p < n; p++) y[(i * n + p) * c + k] = x[(i * c + k) * n + p];
        return y;
    }

    /** Shapes of the parameters of a part of Stable Diffusion by name, trailing ones of 1x1 convolutions dropped. */
    public static Map<String, List<Integer>> shapes(String part) {
        Map<String, List<Integer>> all = new LinkedHashMap<>();
        try {
            for (String line : Files.readAllLines(FOLDER.resolve("names.tsv"))) {
                String[] f = line.split("\t");
                if (!f[0].equals(part)) continue;
                List<Integer> dims = Arrays.stream(
                                f[2].replaceAll("[\\[\\] ]", "").split(","))
                        .map(Integer::valueOf)
                        .toList();
                boolean one = dims.size() == 4 && dims.get(2) == 1 && dims.get(3) == 1;
                all.put(f[1], one ? dims.subList(0, 2) : dims);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return all;
    }

    /** Shapes of the parameters that a network has declared. */
    public static Map<String, List<Integer>> shapes(Weights w) {
        return w.specs().stream()
                .collect(Collectors.toMap(
                        Weights.Spec::name,
                        s -> Arrays.stream(s.shape().dims()).boxed().toList()));
    }

    /** The largest difference, divided by the largest number that is wanted, or by {@code least} if that is larger. */
    public static double largestError(float[] want, float[] got, double least) {
        double scale = least, error = 0;
        for (int i = 0; i < want.length; i++) {
            scale = Math.max(scale, Math.abs(want[i]));
            double e = Math.abs(got[i] - want[i]);
            if (!(e <= error)) error = e; // also NaN
        }
        return want.length == got.length ? error / scale : Double.NaN;
    }

    /** Root of the sum of squares. */
    public static double norm(float[] x) {
        double sum = 0;
        for (float f : x) sum += (double) f * f;
        return Math.sqrt(sum);
    }
}
