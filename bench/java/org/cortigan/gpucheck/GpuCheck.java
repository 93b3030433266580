// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import org.cortigan.InputException;

/**
 * Correctness and speed on a GPU, in two calls (tools/gpu-check): {@code smoke} says whether the product runs there,
 * whether it is right and where the time goes; {@code measure} sets it beside PyTorch. Both run their stages in
 * processes of their own ({@link Driver}), of which those of ours are this class again ({@link Piece}).
 */
public final class GpuCheck {
    private GpuCheck() {}

    /** {@code smoke} or {@code measure} with the options of {@link Options}; or a piece, for the driver. */
    public static void main(String[] args) throws Exception {
        try {
            if (args.length > 0 && args[0].equals("piece")) Piece.main(args);
            else System.exit(new Driver(Options.parse(args)).run() ? 0 : 1);
        } catch (InputException e) {
            System.err.println(e.getMessage());
            System.exit(2);
        }
    }
}
