// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.graph.Type;

/**
 * Where a tensor lies in memory, for programs that read or write it without a copy: row-major, without gaps, little
 * endian. The address is a CUDA pointer for JCuda and bytedeco's presets, and what
 * {@code MemorySegment.ofAddress(address).reinterpret(bytes)} of java.lang.foreign takes; {@link DlPack} hands it to
 * array libraries. It is valid until its owner, such as a predictor, is closed; nothing checks that afterwards.
 *
 * @param address of the first element, on the host or on the card
 * @param bytes size of the tensor
 * @param onHost whether the processor reads the address; otherwise it is one of a card
 * @param device number of the card among those of CUDA; 0 on the host
 */
public record TensorMemory(long address, long bytes, Type type, boolean onHost, int device) {
    /**
     * The memory of a storage.
     *
     * @param tensor not a small input of a device, whose contents each run copies from the host
     * @throws IllegalArgumentException if the tensor is in memory of another type than its own
     */
    static TensorMemory of(Storage tensor, Device device) {
        if (tensor.stored() != tensor.type().dtype())
            throw new IllegalArgumentException(
                    "a reference device keeps " + tensor.type() + " as " + tensor.stored() + ": use another device");
        DeviceRuntime r = device.runtime();
        return new TensorMemory(tensor.address(), tensor.sizeBytes(), tensor.type(), !r.hasOwnMemory(), r.number());
    }
}
