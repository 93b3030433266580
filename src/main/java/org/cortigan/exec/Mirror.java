// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * Copies on the host of a session's small inputs and outputs on a device. They travel with every run: the inputs, which
 * lie side by side on the device, by one copy, each output by one. Two sets of blocks take turns, so that a run can be
 * queued while the one before is under way.
 */
final class Mirror {
    /** Tensors of at most so many bytes are mirrored. */
    static final long LIMIT_BYTES = 1024;

    /** An output, and where the blocks of outputs have it. */
    private record Output(long offset, long device, long bytes) {}

    private final DeviceRuntime runtime;
    private final long inputsOnDevice;
    private final Memory inputs;
    private final Memory outputs;
    private final Memory[] sent = new Memory[2];
    private final Memory[] received = new Memory[2];
    private final List<Output> results = new ArrayList<>();
    private long usedOutputBytes;
    private int lastSet;
    private boolean stale;

    /** @param inputsOnDevice address of the block of small inputs */
    Mirror(DeviceRuntime runtime, SessionMemory memory, long inputsOnDevice, long inputBytes, long outputBytes) {
        this.runtime = runtime;
        this.inputsOnDevice = inputsOnDevice;
        inputs = memory.plain(inputBytes);
        outputs = memory.plain(outputBytes);
        for (int set = 0; set < 2; set++) {
            received[set] = memory.host(outputBytes);
            sent[set] = memory.host(inputBytes);
        }
    }

    /** The input at that offset in the block of inputs. */
    Storage input(Type type, DType stored, long offset) {
        return new HostStorage(type, stored, inputsOnDevice + offset, inputs, offset);
    }

    /** The next output. */
    Storage output(Type type, DType stored, long device) {
        Storage s = new MirroredStorage(type, stored, device, this, usedOutputBytes);
        results.add(new Output(usedOutputBytes, device, s.sizeBytes()));
        usedOutputBytes += SessionMemory.aligned(s.sizeBytes());
        return s;
    }

    /** The outputs as the host sees them. */
    Memory outputs() {
        return outputs;
    }

    /** The outputs of the last run of that set, once it is done. */
    Memory received(int set) {
        return received[set];
    }

    /** Takes what the host wrote to the inputs; the host may then write the next run's. */
    void stage(int set) {
        if (inputs.bytes() > 0) Native.copy(sent[set].address(), inputs.address(), inputs.bytes());
    }

    /** Queues the copy of the staged inputs to the device. */
    void upload(int set) {
        if (inputs.bytes() > 0) runtime.upload(inputsOnDevice, sent[set].address(), inputs.bytes());
    }

    /** Queues the copies of the outputs to the host. */
    void download(int set) {
        for (int i = 0; i < results.size(); i++) {
            Output o = results.get(i);
            runtime.download(received[set].address() + o.offset, o.device, o.bytes);
        }
    }

    /** A run of that set has been queued: {@link #outputs()} are those of an earlier one. */
    void launched(int set) {
        lastSet = set;
        stale = true;
    }

    /** Waits for the run under way, if any, and takes its outputs. */
    void refresh() {
        if (!stale) return;
        stale = false;
        runtime.synchronize();
        if (outputs.bytes() > 0) Native.copy(outputs.address(), received[lastSet].address(), outputs.bytes());
    }

    /** Whether a run may be under way. */
    boolean isStale() {
        return stale;
    }
}
