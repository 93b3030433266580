// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.cortex.Challenge;
import org.cortigan.exec.Device;
import org.cortigan.io.Json;
import org.cortigan.model.Generator;
import org.cortigan.prof.Ceilings;
import org.cortigan.prof.Profile;
import org.cortigan.train.RandomData;
import org.cortigan.train.Recipe;
import org.cortigan.train.Trainer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "profile",
        description =
                "Times every node of a training step on random data, and compares each time with its floor, the least"
                        + " time that the node could take.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "With --nvtx, NVIDIA's profilers show a range for every node, named by op and node:",
            "  nsys profile -t cuda,nvtx tools/cortigan profile -c vit-gan --device cuda:0 --nvtx",
            "  ncu --nvtx --nvtx-include 'regex:attention.*/' -c 20 --set full tools/cortigan profile -c vit-gan"
                    + " --device cuda:0 --nvtx"
        })
final class ProfileCommand implements Callable<Integer> {
    @Mixin
    private Output output;

    @Mixin
    private DeviceOptions device;

    @Mixin
    private RecipeOptions recipe;

    @Option(
            names = "--subject",
            defaultValue = "1",
            paramLabel = "N",
            description = "Subject whose vertex counts are used (default ${DEFAULT-VALUE}).")
    private int subject;

    @Option(
            names = "--repeats",
            defaultValue = "7",
            paramLabel = "N",
            description = "Timed runs; the median is shown (default ${DEFAULT-VALUE}).")
    private int repeats;

    @Option(
            names = "--top",
            defaultValue = "20",
            paramLabel = "N",
            description = "Number of slowest nodes to show (default ${DEFAULT-VALUE}).")
    private int top;

    @Option(names = "--json", paramLabel = "FILE", description = "Also writes every node as JSON.")
    private @Nullable Path json;

    @Option(names = "--trace", paramLabel = "FILE", description = "Also writes a trace that Perfetto opens.")
    private @Nullable Path trace;

    @Option(names = "--nvtx", description = "On a GPU, marks an NVTX range with the name of each node.")
    private boolean nvtx;

    @Override
    public Integer call() {
        if (subject < 1 || subject > 8)
            throw new InputException("--subject " + subject, "does not exist", "Give 1 to 8");
        if (repeats < 1) throw new InputException("--repeats " + repeats, "is too small", "Give at least 1");
        Recipe r = recipe.load(output).with("train.validation", 0); // so that all images of the data are for training
        Generator g = Generator.of(r.section("model").section("generator"));
        int[] v = Challenge.vertices(subject);
        long step = r.photographs();
        int images = (int) Math.min(Integer.MAX_VALUE, 2 * step);
        try (Device opened = device.open(output);
                Trainer t = new Trainer(r, new RandomData(images, v[0], v[1], g.imageBytes()), opened, null)) {
            Ceilings c = Ceilings.measure(t.session().device());
            t.fillInputs();
            if (nvtx) t.session().nameRanges();
            Profile p = Profile.of(t.session(), c, 2, repeats);
            if (json != null) Json.write(json, p.json());
            if (trace != null) p.writeTrace(trace);
            output.line(
                    "%s, %d images a step, %s, %s: %.2f images/s",
                    r.name(),
                    step,
                    r.section("train").text("precision"),
                    t.session().device().name(),
                    step / p.seconds());
            output.line("%smemory of a step: %s", p.table(top), t.plan());
        }
        return 0;
    }
}
