// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.function.Consumer;
import org.cortigan.InputException;

/**
 * Devices by name: {@code cpu}, {@code cuda}, {@code cuda:1}, {@code auto}. A device asked for is used or the call
 * fails saying what is missing; only {@code auto} chooses, and says what and why.
 */
public final class Devices {
    private Devices() {}

    /** {@link #open(String, int, Consumer)} without a reader for its lines. */
    public static Device open(String name, int threads) {
        return open(name, threads, s -> {});
    }

    /**
     * @param threads threads of a processor, 0 for all cores
     * @param note takes lines for the user; the first says what {@code auto} chose and why
     * @throws InputException if the name is unknown or the device is not available
     */
    public static Device open(String name, int threads, Consumer<String> note) {
        if (threads < 0) throw new InputException("--threads " + threads, "is negative", "Give 0 for all cores");
        if (name.equals("cpu")) return CpuDevice.best(threads);
        List<DeviceProvider> providers = providers();
        if (name.equals("auto")) return choose(providers, threads, note);
        String kind = name.contains(":") ? name.substring(0, name.indexOf(':')) : name;
        for (DeviceProvider p : providers) if (p.kind().equals(kind)) return p.open(number(name, kind), note);
        List<String> known = new ArrayList<>(List.of("auto", "cpu"));
        for (DeviceProvider p : providers) known.addAll(List.of(p.kind(), p.kind() + ":N"));
        throw new InputException("--device " + name, "is unknown", "Use one of " + String.join(", ", known));
    }

    private static Device choose(List<DeviceProvider> providers, int threads, Consumer<String> note) {
        List<String> reasons = new ArrayList<>();
        for (DeviceProvider p : providers) {
            Optional<String> absent = p.absent();
            if (absent.isPresent()) {
                reasons.add(absent.get());
                continue;
            }
            DeferredNotes notes = new DeferredNotes(); // the choice comes first
            Device d;
            try {
                d = p.open(0, notes);
            } catch (InputException e) {
                reasons.add(e.getMessage());
                continue;
            }
            note.accept("device: " + d.name() + ", chosen because it is there and its kernels run");
            notes.forwardTo(note);
            return d;
        }
        Device d = CpuDevice.best(threads);
        note.accept("device: " + d.name() + ", chosen because " + String.join("; ", reasons));
        return d;
    }

    /** Keeps a device's lines until it is known who reads them, and then forwards all that follow. */
    private static final class DeferredNotes implements Consumer<String> {
        private final List<String> lines = new ArrayList<>();
        private Consumer<String> reader = lines::add;

        @Override
        public synchronized void accept(String line) {
            reader.accept(line);
        }

        synchronized void forwardTo(Consumer<String> note) {
            reader = note;
            lines.forEach(note);
        }
    }

    private static int number(String name, String kind) {
        if (name.equals(kind)) return 0;
        try {
            int n = Integer.parseInt(name.substring(kind.length() + 1));
            if (n >= 0) return n;
        } catch (NumberFormatException e) {
            // said below
        }
        throw new InputException("--device " + name, "names no device", "Use " + kind + ":0 for the first");
    }

    /** All kinds besides the processor. */
    public static List<DeviceProvider> providers() {
        List<DeviceProvider> all = new ArrayList<>();
        ServiceLoader.load(DeviceProvider.class, DeviceProvider.class.getClassLoader())
                .forEach(all::add);
        return all;
    }
}
