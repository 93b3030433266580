// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.InputException;

/**
 * Opens devices by name: {@code cpu}, {@code cuda}, {@code cuda:1}, {@code auto}. A device that is named is opened, or
 * the call fails and says what is missing. Only {@code auto} chooses, and it reports its choice and the reason.
 */
public final class Devices {
    /** The name of the processor. */
    public static final String CPU = "cpu";

    private Devices() {}

    /** {@link #open(String, int, Consumer)} that discards the lines for the user. */
    public static Device open(String name, int threads) {
        return open(name, threads, s -> {});
    }

    /**
     * @param threads threads of a CPU device, 0 for all cores
     * @param note receives lines for the user; the first says what {@code auto} chose and why
     * @throws InputException if the name is unknown or the device is not available
     */
    public static Device open(String name, int threads, Consumer<String> note) {
        return open(name, threads, Ranks.alone(), note);
    }

    /**
     * The device of one rank. {@code cuda} and {@code auto} give each rank of a machine the card of its number among
     * them, counted anew from 0 if there are more ranks than this process sees cards: a launcher may show each rank its
     * own card alone. {@link DeviceRuntime#meet} finds ranks that share a card.
     *
     * @param threads threads of a CPU device, 0 for all cores
     * @throws InputException if the name is unknown or the device is not available
     */
    public static Device open(String name, int threads, Ranks ranks, Consumer<String> note) {
        requireThreads(threads);
        if (name.equals(CPU)) return CpuDevice.best(threads).in(ranks);
        List<DeviceProvider> providers = providers();
        if (name.equals("auto")) return choose(providers, threads, ranks, note);
        DeviceProvider p = provider(providers, name);
        return open(p, name.equals(p.kind()) ? own(p, ranks) : number(name, p.kind()), ranks, note);
    }

    private static DeviceProvider provider(List<DeviceProvider> providers, String name) {
        String kind = name.contains(":") ? name.substring(0, name.indexOf(':')) : name;
        for (DeviceProvider p : providers) if (p.kind().equals(kind)) return p;
        List<String> known = new ArrayList<>(List.of("auto", CPU));
        for (DeviceProvider p : providers) known.addAll(List.of(p.kind(), p.kind() + ":N"));
        throw new InputException("--device " + name, "is unknown", "Use one of " + String.join(", ", known));
    }

    /**
     * The devices that processes of one machine share out, opened by none: each card, or the processor.
     *
     * @param name as for {@link #open}; {@code cuda} means every card, {@code auto} every card or else the processor
     * @param note receives a line that says what {@code auto} chose and why
     * @return names for {@link #open}, at least one
     * @throws InputException if the name is unknown, or there is no such device
     */
    public static List<String> all(String name, Consumer<String> note) {
        if (name.equals(CPU)) return List.of(CPU);
        List<DeviceProvider> providers = providers();
        if (!name.equals("auto")) {
            DeviceProvider p = provider(providers, name);
            return name.equals(p.kind()) ? all(p) : List.of(p.kind() + ":" + number(name, p.kind()));
        }
        List<String> reasons = new ArrayList<>();
        for (DeviceProvider p : providers) {
            Optional<String> absent = p.absent();
            if (absent.isPresent()) {
                reasons.add(absent.get());
                continue;
            }
            try {
                List<String> all = all(p);
                note.accept("devices: " + String.join(", ", all) + ", chosen because they are available");
                return all;
            } catch (InputException e) {
                reasons.add(e.getMessage());
            }
        }
        note.accept("device: " + CPU + ", chosen because " + String.join("; ", reasons));
        return List.of(CPU);
    }

    private static List<String> all(DeviceProvider p) {
        return IntStream.range(0, p.count()).mapToObj(i -> p.kind() + ":" + i).toList();
    }

    /** Returns the number of threads; throws if it is negative. */
    public static int requireThreads(int threads) {
        if (threads < 0) throw new InputException("--threads " + threads, "is negative", "Give 0 for all cores");
        return threads;
    }

    /** Number of the device that a rank uses if the user names none. */
    private static int own(DeviceProvider p, Ranks ranks) {
        return ranks.localRank() == 0 ? 0 : ranks.localRank() % p.count();
    }

    private static Device open(DeviceProvider p, int number, Ranks ranks, Consumer<String> note) {
        Device d = p.open(number, note);
        try {
            return d.in(ranks);
        } catch (RuntimeException | Error e) {
            d.close();
            throw e;
        }
    }

    private static Device choose(List<DeviceProvider> providers, int threads, Ranks ranks, Consumer<String> note) {
        List<String> reasons = new ArrayList<>();
        for (DeviceProvider p : providers) {
            Optional<String> absent = p.absent();
            if (absent.isPresent()) {
                reasons.add(absent.get());
                continue;
            }
            DeferredNotes notes = new DeferredNotes(); // the line about the choice comes first
            Device d;
            try {
                d = open(p, own(p, ranks), ranks, notes);
            } catch (InputException e) {
                reasons.add(e.getMessage());
                continue;
            }
            note.accept("device: " + d.name() + ", chosen because it is available and its kernels run");
            notes.forwardTo(note);
            return d;
        }
        Device d = CpuDevice.best(threads).in(ranks);
        note.accept("device: " + d.name() + ", chosen because " + String.join("; ", reasons));
        return d;
    }

    /**
     * Collects a device's lines until {@link #forwardTo} names their reader, who then gets these and all later lines.
     */
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
        try {
            int n = Integer.parseInt(name.substring(kind.length() + 1));
            if (n >= 0) return n;
        } catch (NumberFormatException e) {
            // reported below
        }
        throw new InputException("--device " + name, "names no device", "Use " + kind + ":0 for the first");
    }

    /** All kinds of device except the CPU. */
    public static List<DeviceProvider> providers() {
        List<DeviceProvider> all = new ArrayList<>();
        ServiceLoader.load(DeviceProvider.class, DeviceProvider.class.getClassLoader())
                .forEach(all::add);
        return all;
    }
}
