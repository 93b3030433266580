// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.IntPredicate;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.NullDevice;
import org.cortigan.exec.Session;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Value;
import org.cortigan.jni.HostMemory;
import org.cortigan.model.Predictor;
import org.cortigan.plan.Plan;

/** Checks that a run fits into the free memory of a device, before it allocates any. */
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
     * Whether to keep the training data in the device's memory.
     *
     * @throws InputException if the recipe requires that on a device without memory of its own, or together with
     *     augmentation, which the host computes
     */
    boolean isDataResident() {
        TrainSettings.DataPlacement wanted = train.dataOnDevice();
        if (train.augmentation().isOn()) {
            if (wanted == TrainSettings.DataPlacement.YES)
                throw train.wrong(
                        "data_on_device",
                        "yes does not go with train.augment: the host changes the photographs of every batch",
                        "Use auto or no, or set the values of train.augment to 0");
            return false;
        }
        if (!device.runtime().hasOwnMemory()) {
            if (wanted == TrainSettings.DataPlacement.YES)
                throw train.wrong("data_on_device", device.name() + " has no memory of its own", "Use auto or no");
            return false;
        }
        return switch (wanted) {
            case YES -> true;
            case NO -> false;
            case AUTO ->
                bytes(device, train, true, train.recompute())
                        <= device.runtime().freeBytes();
        };
    }

    /** Bytes of the device that the run takes. */
    long bytes() {
        return bytes(device, train, isDataResident(), train.recompute());
    }

    /**
     * Checks that a run fits. On the CPU that is a question of the limits of the machine and of the process's container
     * or job; where a run fits into them but not beside what other processes use now, it only warns.
     *
     * @param resident whether the training data are in the device's memory
     * @param log receives the warning
     * @throws InputException if it does not fit; the message says how many bytes are missing and what would fit
     */
    void check(boolean resident, Consumer<String> log) {
        boolean onHost = !device.runtime().hasOwnMemory();
        HostMemory host = HostMemory.now();
        long free = device.runtime().freeBytes();
        long own = bytes(device, train, resident, train.recompute());
        int ranks = onHost ? device.runtime().ranks().localSize() : 1; // that share the memory
        long need = own * ranks;
        String batches = train.accumulate() == 1 ? "" : train.accumulate() + " batches of ";
        String needs = "a step of " + batches + train.batch() + " photographs needs " + need + " bytes on "
                + (ranks == 1 ? "" : ranks + " ranks of ") + device.name();
        if (need > free)
            throw train.wrong(
                    "batch",
                    needs + ", but " + free + (onHost ? " are left of " + host.allowance() : " are free") + ": "
                            + (need - free) + " short",
                    remedy(resident, own, free / ranks));
        if (onHost && need > host.available())
            log.accept(needs + ", and " + host.available()
                    + " are available now: the machine may swap, or end this process, unless others give memory back");
    }

    private String remedy(boolean resident, long need, long free) {
        // A plan for NullDevice lacks the kernels' scratch memory: assume that every batch needs as much as this one.
        long scratch = need - bytesWithoutScratch(train, resident, train.recompute());
        int ranks = subjects.get(0).settings().shard().ranks();
        IntPredicate fits =
                n -> bytesWithoutScratch(train.withBatches(n * ranks, train.accumulate()), resident, train.recompute())
                                + scratch
                        <= free;
        int batch = ranks * largest(train.batch() / ranks - 1, fits);
        String remedy = batch > 0 ? "train.batch=" + batch + " is the largest that fits" : "No smaller batch fits";
        remedy += accumulated(batch, ranks, resident, free - scratch)
                .map(t -> "; train.batch=" + t.batch() + " train.accumulate=" + t.accumulate()
                        + " fits, with as many photographs in a step")
                .orElse("");
        if (train.recompute() == TrainSettings.Recomputation.NONE) {
            long cheap = bytesWithoutScratch(train, resident, TrainSettings.Recomputation.CHEAP) + scratch;
            remedy += cheap <= free
                    ? "; this batch fits with train.recompute=cheap"
                    : "; train.recompute=cheap is not enough for this batch";
        }
        long data = resident
                ? bytesWithoutScratch(train, true, train.recompute())
                        - bytesWithoutScratch(train, false, train.recompute())
                : 0;
        return data > 0 ? remedy + "; train.data_on_device=no leaves " + data + " bytes free" : remedy;
    }

    /**
     * The largest batches, of at most {@code most} photographs, that make the same step, are multiples of the number of
     * ranks and fit.
     *
     * @param free bytes without the kernels' scratch memory
     */
    private Optional<TrainSettings> accumulated(int most, int ranks, boolean resident, long free) {
        return IntStream.iterate(most, n -> n > 0, n -> n - 1)
                .filter(n -> n % ranks == 0 && train.photographs() % n == 0)
                .mapToObj(n -> train.withBatches(n, train.photographs() / n))
                .filter(t -> bytesWithoutScratch(t, resident, t.recompute()) <= free)
                .findFirst();
    }

    /**
     * Bisects for the largest number from 1 to {@code max} that fits; 0 if none does. All numbers below it must fit.
     */
    private static int largest(int max, IntPredicate fits) {
        int low = 0, high = max;
        while (low < high) {
            int middle = low + (high - low + 1) / 2;
            if (fits.test(middle)) low = middle;
            else high = middle - 1;
        }
        return low;
    }

    private long bytesWithoutScratch(TrainSettings t, boolean resident, TrainSettings.Recomputation recompute) {
        return bytes(new NullDevice(), t, resident, recompute);
    }

    /**
     * Bytes of the steps, their variables and inputs, and the validation predictors; without validation those of one
     * predictor, for the {@link ForwardPass} before the first step; and those of computing the features once. All
     * subjects share one arena and the variables of the backbone.
     *
     * @param planned device that the steps are planned for; block sizes are always those of this budget's device
     */
    private long bytes(Device planned, TrainSettings t, boolean resident, TrainSettings.Recomputation recompute) {
        DeviceRuntime memory = device.runtime();
        long arena = 0, sum = 0, pass = 0;
        Set<String> variables = new HashSet<>();
        for (SubjectSetup s : subjects) {
            Optional<FrozenPart> frozen = s.frozen(t);
            Plan step = Session.plan(SubjectSetup.program(s.step(t, resident), frozen, recompute), planned);
            sum += ownBlocks(step, variables);
            if (frozen.isPresent()) {
                Plan alone = Session.plan(frozen.get().alone(), planned);
                sum += ownBlocks(alone, variables);
                pass = Math.max(
                        pass,
                        memory.blockBytes(alone.report().arenaBytes())
                                + memory.blockBytes(Session.inputBytes(alone, planned)));
            }
            sum += memory.blockBytes(Session.inputBytes(step, planned));
            if (frozen.isPresent() && !memory.hasOwnMemory())
                sum += (long) BatchLoader.AHEAD
                        * s.share(t)
                        * s.microBatches(t)
                        * frozen.get().elements()
                        * Float.BYTES;
            long predictor = 0;
            UnaryOperator<Graph> program = g -> frozen.map(f -> f.prediction(g)).orElse(g);
            for (long n :
                    Predictor.blocks(s.settings().model().validating(), s.subject(), planned, s.share(t), program))
                predictor += memory.blockBytes(n);
            if (s.split().validation().length > 0) sum += predictor;
            else pass = Math.max(pass, predictor);
            arena = Math.max(arena, memory.blockBytes(step.report().arenaBytes()));
        }
        return arena + sum + pass;
    }

    /** Bytes of the blocks of single leaves. */
    private long ownBlocks(Plan plan, Set<String> variables) {
        long sum = 0;
        for (Map.Entry<Leaf, Value> e : plan.leaves().entrySet())
            if (takesOwnBlock(e.getKey(), variables))
                sum += device.runtime()
                        .blockBytes(e.getValue().shape().elements()
                                * e.getValue().dtype().bytes());
        return sum;
    }

    /**
     * Whether a leaf needs its own block, outside the block of all inputs: a variable that no earlier subject has, or a
     * prefetched input.
     */
    private static boolean takesOwnBlock(Leaf leaf, Set<String> variables) {
        if (leaf instanceof Leaf.Variable) return variables.add(leaf.id());
        return StepInput.PREFETCHED.stream().anyMatch(input -> input.key().equals(leaf.id()));
    }
}
