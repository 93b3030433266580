// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The names that diffusers gives the tensors of Stable Diffusion, from those of the authors' single files (CompVis),
 * which number the blocks of all levels in a row, and from older ones of diffusers. A name without a rule stays as it
 * is.
 */
final class StableDiffusionNames {
    /** A number of a block; longer ones are no number of a block. */
    private static final String N = "(\\d{1,4})";

    private static final Pattern IN = Pattern.compile("input_blocks\\." + N + "\\.([01])\\.(.*)"),
            DOWN = Pattern.compile("input_blocks\\." + N + "\\.0\\.op\\.(.*)"),
            MIDDLE = Pattern.compile("middle_block\\.([012])\\.(.*)"),
            OUT = Pattern.compile("output_blocks\\." + N + "\\.([01])\\.(.*)"),
            UP = Pattern.compile("output_blocks\\." + N + "\\.[12]\\.conv\\.(.*)"),
            VAE_DOWN = Pattern.compile("encoder\\.down\\." + N + "\\.(.*)"),
            VAE_UP = Pattern.compile("decoder\\.up\\." + N + "\\.(.*)"),
            VAE_BLOCK = Pattern.compile("block\\." + N + "\\.(.*)"),
            VAE_MIDDLE = Pattern.compile("(encoder|decoder)\\.mid\\.(block_1|block_2|attn_1)\\.(.*)"),
            VAE_ATTENTION = Pattern.compile("((?:encoder|decoder)\\.mid_block\\.attentions\\.0)\\.([a-z_]+)\\.(.*)");

    /** Beginnings of names in pairs: CompVis', then diffusers'. */
    private static final List<String>
            UNET =
                    List.of(
                            "time_embed.0.", "time_embedding.linear_1.",
                            "time_embed.2.", "time_embedding.linear_2.",
                            "input_blocks.0.0.", "conv_in.",
                            "out.0.", "conv_norm_out.",
                            "out.2.", "conv_out."),
            RESIDUAL =
                    List.of(
                            "in_layers.0.", "norm1.",
                            "in_layers.2.", "conv1.",
                            "emb_layers.1.", "time_emb_proj.",
                            "out_layers.0.", "norm2.",
                            "out_layers.3.", "conv2.",
                            "skip_connection.", "conv_shortcut."),
            VAE =
                    List.of(
                            "encoder.norm_out.", "encoder.conv_norm_out.",
                            "decoder.norm_out.", "decoder.conv_norm_out."),
            VAE_RESIDUAL = List.of("nin_shortcut.", "conv_shortcut."),
            /** Names of the attention's layers in CompVis' files and in diffusers' until 2023. */
            ATTENTION =
                    List.of(
                            "norm", "group_norm",
                            "q", "to_q",
                            "k", "to_k",
                            "v", "to_v",
                            "proj_out", "to_out.0",
                            "query", "to_q",
                            "key", "to_k",
                            "value", "to_v",
                            "proj_attn", "to_out.0");

    private StableDiffusionNames() {}

    /**
     * Diffusers' names of a UNet's tensors.
     *
     * @param names CompVis' names, below their prefix
     * @return by CompVis' name
     */
    static Map<String, String> ofUnet(Collection<String> names) {
        // The first downsampling comes behind conv_in and the residual blocks of the finest level.
        int perLevel =
                numbers(names, DOWN).min().orElse(numbers(names, IN).max().orElse(0) + 1);
        Map<String, String> all = new LinkedHashMap<>();
        for (String name : names) all.put(name, ofUnet(name, Math.max(perLevel, 1)));
        return all;
    }

    /** @param perLevel residual blocks of a level on the way up, which is one more than on the way down */
    private static String ofUnet(String name, int perLevel) {
        String simple = begun(name, UNET);
        if (!simple.equals(name)) return simple;
        MatchResult m = match(DOWN, name);
        if (m != null) return "down_blocks." + (number(m) / perLevel - 1) + ".downsamplers.0.conv." + m.group(2);
        m = match(UP, name);
        if (m != null) return "up_blocks." + number(m) / perLevel + ".upsamplers.0.conv." + m.group(2);
        m = match(IN, name);
        if (m != null) return block("down_blocks.", number(m) - 1, perLevel, m);
        m = match(OUT, name);
        if (m != null) return block("up_blocks.", number(m), perLevel, m);
        m = match(MIDDLE, name);
        if (m == null) return name;
        return "mid_block."
                + (number(m) == 1
                        ? "attentions.0." + m.group(2)
                        : "resnets." + number(m) / 2 + "." + begun(m.group(2), RESIDUAL));
    }

    private static String block(String kind, int number, int perLevel, MatchResult m) {
        boolean attends = m.group(2).equals("1");
        return kind + number / perLevel + (attends ? ".attentions." : ".resnets.") + number % perLevel + "."
                + (attends ? m.group(3) : begun(m.group(3), RESIDUAL));
    }

    /**
     * Diffusers' names of a VAE's tensors.
     *
     * @param names CompVis' or diffusers' names, below their prefix
     * @return by that name
     */
    static Map<String, String> ofVae(Collection<String> names) {
        int coarsest = numbers(names, VAE_UP).max().orElse(0); // CompVis counts from the finest level.
        Map<String, String> all = new LinkedHashMap<>();
        for (String name : names) all.put(name, ofVae(name, coarsest));
        return all;
    }

    private static String ofVae(String name, int coarsest) {
        MatchResult m = match(VAE_DOWN, name);
        if (m != null) return level("encoder.down_blocks." + number(m) + ".", "downsample.", "downsamplers.0.", m);
        m = match(VAE_UP, name);
        if (m != null)
            return level("decoder.up_blocks." + (coarsest - number(m)) + ".", "upsample.", "upsamplers.0.", m);
        m = match(VAE_MIDDLE, name);
        String now = m == null
                ? begun(name, VAE)
                : m.group(1) + ".mid_block."
                        + switch (m.group(2)) {
                            case "block_1" -> "resnets.0." + begun(m.group(3), VAE_RESIDUAL);
                            case "block_2" -> "resnets.1." + begun(m.group(3), VAE_RESIDUAL);
                            default -> "attentions.0." + m.group(3);
                        };
        m = match(VAE_ATTENTION, now);
        if (m == null) return now;
        int i = ATTENTION.indexOf(m.group(2));
        return i < 0 || i % 2 > 0 ? now : m.group(1) + "." + ATTENTION.get(i + 1) + "." + m.group(3);
    }

    private static String level(String level, String sampling, String ours, MatchResult m) {
        String rest = m.group(2);
        MatchResult block = match(VAE_BLOCK, rest);
        return level
                + (block != null
                        ? "resnets." + number(block) + "." + begun(block.group(2), VAE_RESIDUAL)
                        : begun(rest, List.of(sampling, ours)));
    }

    private static String begun(String name, List<String> pairs) {
        for (int i = 0; i < pairs.size(); i += 2)
            if (name.startsWith(pairs.get(i)))
                return pairs.get(i + 1) + name.substring(pairs.get(i).length());
        return name;
    }

    private static IntStream numbers(Collection<String> names, Pattern pattern) {
        return names.stream().map(pattern::matcher).filter(Matcher::matches).mapToInt(StableDiffusionNames::number);
    }

    private static int number(MatchResult m) {
        return Integer.parseInt(m.group(1));
    }

    private static @Nullable MatchResult match(Pattern pattern, String name) {
        Matcher m = pattern.matcher(name);
        return m.matches() ? m.toMatchResult() : null;
    }
}
