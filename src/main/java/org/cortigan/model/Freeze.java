// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.config.Settings;
import org.cortigan.nn.Weights;

/**
 * Which parameters of a generator training leaves as they are. A readout's own parameters ({@link Generator#isOwn}) are
 * always trained, but where anything is frozen, the vectors of subjects stay 0: they enter the backbone below what is
 * frozen, and the features would depend on the subject.
 *
 * @param blocks blocks of a ViT that are frozen, with all that comes before them; 0 for none, {@link #BACKBONE} for the
 *     whole backbone
 */
public record Freeze(int blocks) {
    /** Stands for the whole backbone. */
    private static final int BACKBONE = -1;

    /** Nothing is frozen. */
    public static final Freeze NONE = new Freeze(0);

    private static final String KEY = "freeze";

    /**
     * From the key {@code freeze} of a recipe's section {@code train}.
     *
     * @throws org.cortigan.InputException if the backbone has no such blocks
     */
    public static Freeze of(Settings train, Backbone backbone) {
        String value = train.text(KEY);
        switch (value) {
            case "none":
                return NONE;
            case "backbone":
                return new Freeze(BACKBONE);
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
        return new Freeze(blocks);
    }

    /** Whether anything is frozen. */
    public boolean isOn() {
        return blocks != 0;
    }

    /** Whether a parameter of the generator is frozen. */
    public boolean freezes(Weights.Spec parameter) {
        if (!isOn()) return false;
        if (Generator.isSubjectsVector(parameter)) return true;
        if (Generator.isOwn(parameter.name())) return false;
        if (blocks == BACKBONE) return true;
        String name = parameter.name().substring(Generator.PREFIX.length());
        int block = Vit.blockOf(name);
        return block > 0 ? block <= blocks : Vit.isStem(name);
    }

    /** What is frozen, for messages. */
    @Override
    public String toString() {
        return switch (blocks) {
            case 0 -> "nothing";
            case BACKBONE -> "the backbone";
            default -> "the first " + blocks + (blocks == 1 ? " block" : " blocks") + " and the embedding";
        };
    }
}
