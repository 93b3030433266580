// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The libraries whose ViTs are read, each with its names of tensors. A row of a table has our name (timm's), then
 * theirs; {@code #} stands for a block's number and {@code *} for weight or bias, {@code a+b} for parts that are
 * joined, {@code |} for another name of other versions. Sources: the model definitions of timm (VisionTransformer),
 * dinov2, Hugging Face's transformers 4 and 5 (names of published files and of modules in memory), and OpenCLIP.
 */
enum VitFamily {
    TIMM("a ViT with timm's names", "cls_token", PositionGrid.Resampling.ANTIALIASED, """
            cls_token           cls_token
            reg_token           reg_token
            pos_embed           pos_embed
            patch_embed.proj.*  patch_embed.proj.*
            norm_pre.*          norm_pre.*
            """ + TimmBlocks.NAMES),
    DINOV2(
            "a DINOv2 with the names of its authors",
            "cls_token",
            PositionGrid.Resampling.OFFSET,
            """
            cls_token           cls_token
            reg_token           register_tokens
            pos_embed           pos_embed
            patch_embed.proj.*  patch_embed.proj.*
            """ + TimmBlocks.NAMES),
    HF_VIT("a ViT with Hugging Face's names", "embeddings.cls_token", PositionGrid.Resampling.BICUBIC, """
            cls_token           embeddings.cls_token
            pos_embed           embeddings.position_embeddings
            patch_embed.proj.*  embeddings.patch_embeddings.projection.*
            blocks.#.norm1.*    encoder.layer.#.layernorm_before.*|layers.#.layernorm_before.*
            blocks.#.attn.qkv.* encoder.layer.#.attention.attention.query.*+encoder.layer.#.attention.attention.key.*+encoder.layer.#.attention.attention.value.*|layers.#.attention.q_proj.*+layers.#.attention.k_proj.*+layers.#.attention.v_proj.*
            blocks.#.attn.proj.* encoder.layer.#.attention.output.dense.*|layers.#.attention.o_proj.*
            blocks.#.norm2.*    encoder.layer.#.layernorm_after.*|layers.#.layernorm_after.*
            blocks.#.mlp.fc1.*  encoder.layer.#.intermediate.dense.*|layers.#.mlp.fc1.*
            blocks.#.mlp.fc2.*  encoder.layer.#.output.dense.*|layers.#.mlp.fc2.*
            norm.*              layernorm.*
            """),
    HF_DINOV2("a DINOv2 with Hugging Face's names", "embeddings.cls_token", PositionGrid.Resampling.BICUBIC, """
            cls_token           embeddings.cls_token
            reg_token           embeddings.register_tokens
            pos_embed           embeddings.position_embeddings
            patch_embed.proj.*  embeddings.patch_embeddings.projection.*
            blocks.#.norm1.*    encoder.layer.#.norm1.*
            blocks.#.attn.qkv.* encoder.layer.#.attention.attention.query.*+encoder.layer.#.attention.attention.key.*+encoder.layer.#.attention.attention.value.*|encoder.layer.#.attention.q_proj.*+encoder.layer.#.attention.k_proj.*+encoder.layer.#.attention.v_proj.*
            blocks.#.attn.proj.* encoder.layer.#.attention.output.dense.*|encoder.layer.#.attention.o_proj.*
            blocks.#.ls1.gamma  encoder.layer.#.layer_scale1.lambda1
            blocks.#.norm2.*    encoder.layer.#.norm2.*
            blocks.#.mlp.fc1.*  encoder.layer.#.mlp.fc1.*
            blocks.#.mlp.fc2.*  encoder.layer.#.mlp.fc2.*
            blocks.#.ls2.gamma  encoder.layer.#.layer_scale2.lambda1
            norm.*              layernorm.*
            """),
    HF_CLIP("a CLIP with Hugging Face's names", "embeddings.class_embedding", PositionGrid.Resampling.BICUBIC, """
            cls_token           embeddings.class_embedding
            pos_embed           embeddings.position_embedding.weight
            patch_embed.proj.*  embeddings.patch_embedding.*
            norm_pre.*          pre_layrnorm.*
            blocks.#.norm1.*    encoder.layers.#.layer_norm1.*
            blocks.#.attn.qkv.* encoder.layers.#.self_attn.q_proj.*+encoder.layers.#.self_attn.k_proj.*+encoder.layers.#.self_attn.v_proj.*
            blocks.#.attn.proj.* encoder.layers.#.self_attn.out_proj.*
            blocks.#.norm2.*    encoder.layers.#.layer_norm2.*
            blocks.#.mlp.fc1.*  encoder.layers.#.mlp.fc1.*
            blocks.#.mlp.fc2.*  encoder.layers.#.mlp.fc2.*
            norm.*              post_layernorm.*
            """),
    OPEN_CLIP("a CLIP with OpenCLIP's names", "class_embedding", PositionGrid.Resampling.ANTIALIASED, """
            cls_token           class_embedding
            pos_embed           positional_embedding
            patch_embed.proj.*  conv1.*
            norm_pre.*          ln_pre.*
            blocks.#.norm1.*    transformer.resblocks.#.ln_1.*
            blocks.#.attn.qkv.weight transformer.resblocks.#.attn.in_proj_weight
            blocks.#.attn.qkv.bias transformer.resblocks.#.attn.in_proj_bias
            blocks.#.attn.proj.* transformer.resblocks.#.attn.out_proj.*
            blocks.#.ls1.gamma  transformer.resblocks.#.ls_1.gamma
            blocks.#.norm2.*    transformer.resblocks.#.ln_2.*
            blocks.#.mlp.fc1.*  transformer.resblocks.#.mlp.c_fc.*
            blocks.#.mlp.fc2.*  transformer.resblocks.#.mlp.c_proj.*
            blocks.#.ls2.gamma  transformer.resblocks.#.ls_2.gamma
            norm.*              ln_post.*
            """);

    private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d+)\\.(.*)");

    /** What such a file is called in messages, with the article. */
    final String label;
    /** The class token's name, which every file of the family has once. */
    final String anchor;
    /** How the family's library interpolates position embeddings. */
    final PositionGrid.Resampling resampling;

    private final Map<String, String> rows = new LinkedHashMap<>();

    VitFamily(String label, String anchor, PositionGrid.Resampling resampling, String table) {
        this.label = label;
        this.anchor = anchor;
        this.resampling = resampling;
        table.lines().map(String::strip).forEach(row -> {
            int blank = row.indexOf(' ');
            rows.put(row.substring(0, blank), row.substring(blank).strip());
        });
    }

    boolean isHuggingFace() {
        return this == HF_VIT || this == HF_DINOV2 || this == HF_CLIP;
    }

    /**
     * The tensors that make up a parameter of ours.
     *
     * @param parameter timm's name, such as {@code blocks.3.mlp.fc1.bias}
     * @return alternatives, each with its parts; empty if the family has no such parameter
     */
    List<List<String>> names(String parameter) {
        Matcher m = BLOCK.matcher(parameter);
        boolean inBlock = m.matches();
        String block = inBlock ? m.group(1) : "", name = inBlock ? "blocks.#." + m.group(2) : parameter;
        String kind = name.substring(name.lastIndexOf('.') + 1), general = name.replaceFirst("\\.(weight|bias)$", ".*");
        String row = rows.getOrDefault(name, rows.getOrDefault(general, ""));
        List<List<String>> all = new ArrayList<>();
        if (row.isEmpty()) return all;
        for (String alternative : row.split("\\|"))
            all.add(List.of(alternative.replace("#", block).replace("*", kind).split("\\+")));
        return all;
    }

    /**
     * The names of timm's blocks, which the authors of DINOv2 share. An enum's constants cannot read its own fields.
     */
    private static final class TimmBlocks {
        static final String NAMES = """
            blocks.#.norm1.*    blocks.#.norm1.*
            blocks.#.attn.qkv.* blocks.#.attn.qkv.*
            blocks.#.attn.proj.* blocks.#.attn.proj.*
            blocks.#.ls1.gamma  blocks.#.ls1.gamma
            blocks.#.norm2.*    blocks.#.norm2.*
            blocks.#.mlp.fc1.*  blocks.#.mlp.fc1.*
            blocks.#.mlp.fc2.*  blocks.#.mlp.fc2.*
            blocks.#.ls2.gamma  blocks.#.ls2.gamma
            norm.*              norm.*
            """;
    }
}
