// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.SafeTensors;

/** What the readers of files of other programs share: models that are not read, and lists of tensors for messages. */
final class ForeignFile {
    /**
     * A kind of model that is not read.
     *
     * @param name of a tensor that only this kind has
     */
    record Kind(Pattern name, String what, String remedy) {
        Kind(String name, String what, String remedy) {
            this(Pattern.compile(name), what, remedy);
        }
    }

    /** Low-rank and other updates of a model, without the model. */
    static final Kind ADAPTER = new Kind(
            "lora_[AB]|lora_(up|down|mid)|\\.lora\\.|(^|[._])(hada_w|lokr_w)|base_layer|ip_adapter|\\.to_[kv]_ip\\.",
            "is an adapter",
            "Merge it into its model and save that");

    private static final int EXAMPLES = 3;

    private static final Pattern PART = Pattern.compile(".*-\\d+-of-\\d+\\.safetensors");

    private ForeignFile() {}

    /** @throws InputException if a tensor tells a kind that is not read; the first that fits names it */
    static void refuse(Path file, Collection<String> names, List<Kind> kinds) {
        for (Kind k : kinds)
            for (String name : names)
                if (k.name.matcher(name).find())
                    throw new InputException(
                            file.toString(), k.what + " (tensor " + InputFiles.quote(name) + ")", k.remedy);
    }

    /**
     * @param wanted what is read, such as "a pre-trained ViT"
     * @throws InputException if the file is a checkpoint of this program
     */
    static void refuseCheckpoint(SafeTensors t, String wanted) {
        if (t.metadata().containsKey(Model.CONFIG))
            throw new InputException(
                    t.path().toString(),
                    "is a checkpoint of CortiGAN, not " + wanted,
                    "Give it as a run or a checkpoint");
    }

    /** The first names, quoted. */
    static String examples(Collection<String> names) {
        return names.stream().limit(EXAMPLES).map(InputFiles::quote).collect(Collectors.joining(", "))
                + (names.size() > EXAMPLES ? " ..." : "");
    }

    /** The note about tensors that are not needed. */
    static String notNeeded(Collection<String> names) {
        return "not needed: " + names.size() + " other tensors, " + examples(names);
    }

    /** What to do about a file that lacks tensors. */
    static String remedyForParts(Path file, String join, String remedy) {
        return PART.matcher(file.toString()).matches() ? "The file is one of several parts. " + join : remedy;
    }
}
