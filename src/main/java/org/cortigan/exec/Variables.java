// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.cortigan.graph.Type;
import org.cortigan.jni.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Named storage that outlives runs: parameters, optimizer state, spectral-norm vectors. Sessions that share this object
 * see each other's updates and must run on one thread. New variables are zero.
 */
public final class Variables implements AutoCloseable {
    private record Slot(Memory memory, Storage storage) {}

    private final Device device;
    private final @Nullable Variables shared;
    private final Map<String, Slot> slots = new LinkedHashMap<>();

    /** An empty set of variables. */
    public Variables(Device device) {
        this(device, null);
    }

    private Variables(Device device, @Nullable Variables shared) {
        this.device = device;
        this.shared = shared;
    }

    /**
     * These variables and more of its own: those that it creates are not in this set. Closing it closes them alone;
     * close it before this set.
     */
    public Variables extended() {
        return new Variables(device, this);
    }

    /** Where the variables live. */
    public Device device() {
        return device;
    }

    /**
     * The variable of that name, created if it does not exist.
     *
     * @throws IllegalArgumentException if the variable exists with another type
     */
    public Storage get(String name, Type type) {
        if (shared != null && shared.has(name)) return shared.get(name, type);
        Slot s = slots.get(name);
        if (s == null) {
            Memory m = device.allocate(type.shape().elements() * device.elementBytes(type.dtype()));
            s = new Slot(m, Storage.in(m, 0, type, device));
            slots.put(name, s);
        }
        if (!s.storage.type().equals(type))
            throw new IllegalArgumentException("variable '" + name + "' is " + s.storage.type() + ", not " + type);
        return s.storage;
    }

    /** Whether there is a variable of that name. */
    public boolean has(String name) {
        return slots.containsKey(name) || shared != null && shared.has(name);
    }

    /**
     * The variable of that name.
     *
     * @throws IllegalArgumentException if there is none
     */
    public Storage find(String name) {
        if (shared != null && shared.has(name)) return shared.find(name);
        Slot s = slots.get(name);
        if (s == null) throw new IllegalArgumentException("no variable '" + name + "'");
        return s.storage;
    }

    /** All names with their types, in order of creation. */
    public Map<String, Type> types() {
        Map<String, Type> m = new LinkedHashMap<>();
        if (shared != null) m.putAll(shared.types());
        slots.forEach((k, v) -> m.put(k, v.storage.type()));
        return Collections.unmodifiableMap(m);
    }

    @Override
    public void close() {
        slots.values().forEach(s -> s.memory.close());
        slots.clear();
    }
}
