// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.config.Settings;
import org.cortigan.nn.Weights;

/**
 * Which parameters of a generator training leaves as they are. A readout's own parameters ({@link Generator#isOwn}) are
 * always trained, but where blocks or the backbone are frozen, the vectors of subjects stay 0: they enter below what is
 * frozen, and the features would depend on the subject.
 *
 * @param blocks blocks of a ViT that are frozen, with all that comes before them; 0 for none, {@link #BACKBONE} for the
 *     whole backbone
 * @param autoencoder whether the backbone begins with an autoencoder, which is always frozen. Vectors of subjects enter
 *     above it: it leaves them free
 */
public record Freeze(int blocks, boolean autoencoder) {
    /** Stands for the whole backbone. */
    private static final int BACKBONE = -1;

    /** Nothing is frozen. */
    public static final Freeze NONE = new Freeze(0, false);

    private static final String KEY = "freeze";

    /**
     * From the key {@code freeze} of a recipe's section {@code train}.
     *
     * @throws org.cortigan.InputException if the backbone has no such blocks
     */
    public static Freeze of(Settings train, Backbone backbone) {
        String value = train.text(KEY);
        boolean autoencoder = backbone instanceof StableDiffusion sd && sd.hasAutoencoder();
        switch (value) {
            case "none":
                return new Freeze(0, autoencoder);
            case "backbone":
                return new Freeze(BACKBONE, autoencoder);
            default:
        }
        String some = "Use none, backbone"
                + (backbone instanceof Vit v
                        ? ", or a number from 1 to " + v.encoder().depth()
                        : "");
        if (!value.matches("\\d{1,9}")) throw train.wrong(KEY, "'" + value + "' is unknown", some);
        if (!(backbone instanceof Vit vit))
            throw train.wrong(
                    KEY,
                    value + " counts blocks of a ViT, and the generator is a "
                            + backbone.type().label(),
                    some);
        int blocks = Integer.parseInt(value);
        if (blocks < 1 || blocks > vit.encoder().depth())
            throw train.wrong(
                    KEY, value + " does not fit the ViT's " + vit.encoder().depth() + " blocks", some);
        return new Freeze(blocks, autoencoder);
    }

    /** Whether anything is frozen. */
    public boolean isOn() {
        return blocks != 0 || autoencoder;
    }

    /** Whether a parameter of the generator is frozen. */
    public boolean freezes(Weights.Spec parameter) {
        String name = parameter.name().substring(Generator.PREFIX.length());
        if (StableDiffusion.isOfAutoencoder(name)) return true;
        if (blocks == 0) return false;
        if (Generator.isSubjectsVector(parameter)) return true;
        if (Generator.isOwn(parameter.name())) return false;
        if (blocks == BACKBONE) return true;
        int block = Vit.blockOf(name);
        return block > 0 ? block <= blocks : Vit.isStem(name);
    }

    /** What is frozen, for messages. */
    @Override
    public String toString() {
        return switch (blocks) {
            case 0 -> autoencoder ? "the autoencoder" : "nothing";
            case BACKBONE -> "the backbone";
            default -> "the first " + blocks + (blocks == 1 ? " block" : " blocks") + " and the embedding";
        };
    }
}
