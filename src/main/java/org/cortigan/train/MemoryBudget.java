// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntPredicate;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Session;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Value;
import org.cortigan.model.Predictor;
import org.cortigan.plan.Plan;

/** Compares what a run takes of a device's memory with what is free, before anything is allocated. */
final class MemoryBudget {
    private final Device device;
    private final List<SubjectSetup> subjects;
    private final TrainSettings train;

    MemoryBudget(Device device, List<SubjectSetup> subjects, TrainSettings train) {
        this.device = device;
        this.subjects = List.copyOf(subjects);
        this.train = train;
    }

    /**
     * Whether the training data are to live in the device's memory.
     *
     * @throws InputException if the recipe wants it of a device that has none
     */
    boolean isDataResident() {
        TrainSettings.DataPlacement wanted = train.dataOnDevice();
        if (!device.runtime().hasOwnMemory()) {
            if (wanted == TrainSettings.DataPlacement.YES)
                throw train.wrong("data_on_device", device.name() + " has no memory of its own", "Use auto or no");
            return false;
        }
        return switch (wanted) {
            case YES -> true;
            case NO -> false;
            case AUTO ->
                bytes(device, train.batch(), true, train.recompute())
                        <= device.runtime().freeBytes();
        };
    }

    /**
     * Checks that a run fits.
     *
     * @throws InputException that says by how much the memory is too small, and what would fit
     */
    void check(boolean resident) {
        if (!device.runtime().hasOwnMemory()) return;
        long free = device.runtime().freeBytes();
        long need = bytes(device, train.batch(), resident, train.recompute());
        if (need <= free) return;
        throw train.wrong(
                "batch",
                "a step of " + train.batch() + " photographs needs " + need + " bytes of " + device.name() + ", " + free
                        + " are free: " + (need - free) + " short",
                remedy(resident, need, free));
    }

    private String remedy(boolean resident, long need, long free) {
        // A plan without a device lacks the kernels' scratch memory: that of this batch is taken for all.
        long scratch = need - bytesWithoutScratch(train.batch(), resident, train.recompute());
        int batch =
                largest(train.batch() - 1, n -> bytesWithoutScratch(n, resident, train.recompute()) + scratch <= free);
        String remedy = batch > 0 ? "train.batch=" + batch + " is the largest that fits" : "No smaller batch fits";
        if (train.recompute() == TrainSettings.Recomputation.NONE) {
            long cheap = bytesWithoutScratch(train.batch(), resident, TrainSettings.Recomputation.CHEAP) + scratch;
            remedy += cheap <= free
                    ? "; this batch fits with train.recompute=cheap"
                    : "; train.recompute=cheap is not enough for this batch";
        }
        long data = resident
                ? bytesWithoutScratch(train.batch(), true, train.recompute())
                        - bytesWithoutScratch(train.batch(), false, train.recompute())
                : 0;
        return data > 0 ? remedy + "; train.data_on_device=no leaves " + data + " bytes free" : remedy;
    }

    /** The largest number from 1 to {@code max} that fits, where all below one that fits do too; 0 for none. */
    private static int largest(int max, IntPredicate fits) {
        int low = 0, high = max;
        while (low < high) {
            int middle = low + (high - low + 1) / 2;
            if (fits.test(middle)) low = middle;
            else high = middle - 1;
        }
        return low;
    }

    private long bytesWithoutScratch(int batch, boolean resident, TrainSettings.Recomputation recompute) {
        return bytes(new NullDevice(), batch, resident, recompute);
    }

    /**
     * Bytes of a step with its variables and inputs, and of the predictors that validate. Several subjects have one
     * arena and share the backbone's variables.
     *
     * @param planned device for which the steps are planned; blocks are counted as this budget's device takes them
     */
    private long bytes(Device planned, int batch, boolean resident, TrainSettings.Recomputation recompute) {
        DeviceRuntime memory = device.runtime();
        long arena = 0, sum = 0;
        Set<String> variables = new HashSet<>();
        for (SubjectSetup s : subjects) {
            Plan step = Session.plan(SubjectSetup.program(s.step(batch, resident), recompute), planned);
            for (Map.Entry<Leaf, Value> e : step.leaves().entrySet())
                if (takesOwnBlock(e.getKey(), variables))
                    sum += memory.blockBytes(e.getValue().shape().elements()
                            * e.getValue().dtype().bytes());
            sum += memory.blockBytes(Session.inputBytes(step, planned));
            if (s.split().validation().length > 0)
                for (long n : Predictor.blocks(s.settings().model(), s.subject(), planned, batch))
                    sum += memory.blockBytes(n);
            arena = Math.max(arena, memory.blockBytes(step.report().arenaBytes()));
        }
        return arena + sum;
    }

    /**
     * Whether a leaf has a block besides the one of all inputs: a variable that no other subject has had yet, or an
     * input that is prefetched.
     */
    private static boolean takesOwnBlock(Leaf leaf, Set<String> variables) {
        if (leaf instanceof Leaf.Variable) return variables.add(leaf.id());
        return StepInput.PREFETCHED.stream().anyMatch(input -> input.key().equals(leaf.id()));
    }
}
