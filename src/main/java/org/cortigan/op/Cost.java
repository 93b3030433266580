// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

/**
 * What a node must at least do: floating-point operations (a multiply-add counts 2) and the bytes that must move
 * between memory and chip when every input is read once and every output written once.
 */
public record Cost(double flops, double bytesRead, double bytesWritten) {
    public static final Cost NONE = new Cost(0, 0, 0);

    public double bytes() {
        return bytesRead + bytesWritten;
    }
}
