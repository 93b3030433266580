// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * Host copies of a session's small inputs and outputs on a device. Every run transfers them: all inputs, which are
 * adjacent in device memory, in one copy, and each output in its own. Two sets of host blocks alternate, so that a run
 * can be queued while the previous run executes.
 */
final class Mirror {
    /** Size of the largest mirrored tensor in bytes. */
    static final long LIMIT_BYTES = 1024;

    /** An output: its offset in the blocks of outputs, its device address and its size. */
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

    /** @param inputsOnDevice device address of the block of small inputs */
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

    /** The input at {@code offset} in the block of inputs. */
    Storage input(Type type, DType stored, long offset) {
        return new HostStorage(type, stored, inputsOnDevice + offset, inputs, offset);
    }

    /** Adds the output at the device address {@code device}. */
    Storage output(Type type, DType stored, long device) {
        Storage s = new MirroredStorage(type, stored, device, this, usedOutputBytes);
        results.add(new Output(usedOutputBytes, device, s.sizeBytes()));
        usedOutputBytes += SessionMemory.aligned(s.sizeBytes());
        return s;
    }

    /** The outputs that the host reads; {@link #refresh()} brings them up to date. */
    Memory outputs() {
        return outputs;
    }

    /** The outputs of the set's last run, valid once that run is done. */
    Memory received(int set) {
        return received[set];
    }

    /** Copies the host's inputs into the set's block; the host may then write the inputs of the next run. */
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

    /** Notes that a run of the set has been queued, so that {@link #outputs()} are out of date. */
    void launched(int set) {
        lastSet = set;
        stale = true;
    }

    /** Waits for the queued runs, if any, and copies the last run's outputs to {@link #outputs()}. */
    void refresh() {
        if (!stale) return;
        stale = false;
        runtime.synchronize();
        if (outputs.bytes() > 0) Native.copy(outputs.address(), received[lastSet].address(), outputs.bytes());
    }

    /** Whether a run may still be executing. */
    boolean isStale() {
        return stale;
    }
}
