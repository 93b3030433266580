// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import org.cortigan.InputException;

/**
 * Checks correctness and speed on a GPU in two calls (tools/gpu-check). {@code smoke} checks that the product runs and
 * is right, and shows where the time goes; {@code measure} compares it with PyTorch. The {@link Driver} runs every
 * stage in separate processes: this class again, as a {@link Piece}, or a PyTorch script.
 */
public final class GpuCheck {
    private GpuCheck() {}

    /**
     * Runs {@code smoke} or {@code measure} with the options of {@link Options}, or one piece on behalf of the driver.
     */
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
