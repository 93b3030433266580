// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.config.Settings;
import org.cortigan.nn.Weights;

/**
 * Factors of the learning rate of a backbone's parameters and of a denoising readout's UNet, both of which a file may
 * have pre-trained; all other parameters of the readout have 1 ({@link Generator#isOwn}). The decay by layer is that of
 * BEiT (Bao et al. 2022) and of timm's {@code param_groups_layer_decay}: block i of D, from 1 on, has decay^(D + 1 -
 * i), what comes before the blocks decay^(D + 1), and the norm behind them 1.
 *
 * @param backbone factor of all parameters of the backbone
 * @param layerDecay factor from each block of a ViT to the one before it
 * @param depth number of blocks D; 0 for other backbones
 * @param unet factor of all parameters of the readout's UNet
 */
public record BackboneRates(double backbone, double layerDecay, int depth, double unet) {
    /** Key of the factor of the readout's UNet. */
    public static final String UNET = "unet_rate";

    /** All parameters have the same rate. */
    public static final BackboneRates NONE = new BackboneRates(1, 1, 0, 1);

    /** From the section {@code optimizer} of a recipe. */
    public static BackboneRates of(Settings s, Generator generator) {
        Backbone backbone = generator.backbone();
        BackboneRates r = new BackboneRates(
                s.number("backbone_rate", 0),
                s.number("layer_decay", 0, 1),
                backbone instanceof Vit v ? v.encoder().depth() : 0,
                s.has(UNET) ? s.number(UNET, 0) : 1);
        if (r.unet == 0 && generator.diffusion().isPresent())
            throw s.wrong(UNET, "0 would not train the UNet", "Give a factor above 0");
        if (r.backbone == 0)
            throw s.wrong(
                    "backbone_rate", "0 would train nothing", "Set train.freeze to backbone, or give a factor above 0");
        if (r.layerDecay == 0)
            throw s.wrong("layer_decay", "0 would train no block", "Give a factor above 0, at most 1");
        if (r.layerDecay != 1 && r.depth == 0)
            throw s.wrong(
                    "layer_decay",
                    r.layerDecay + " needs the blocks of a ViT, and the generator is a "
                            + backbone.type().label(),
                    "Set it to 1");
        return r;
    }

    /** The factor of a parameter of the generator. */
    public double of(Weights.Spec parameter) {
        if (Generator.isOfDenoiser(parameter)) return unet;
        if (Generator.isOwn(parameter.name())) return 1;
        String name = parameter.name().substring(Generator.PREFIX.length());
        int block = Vit.blockOf(name);
        int above = block > 0 ? depth + 1 - block : Vit.isStem(name) ? depth + 1 : 0;
        return backbone * Math.pow(layerDecay, above);
    }
}
