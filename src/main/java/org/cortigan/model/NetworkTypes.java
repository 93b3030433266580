// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.config.Settings;
import org.cortigan.io.Json;

/**
 * The types of network that a section of a recipe can choose by its key {@code type}, in the order of the
 * documentation.
 */
public final class NetworkTypes<T> {
    private final List<NetworkType<T>> types;

    NetworkTypes(List<NetworkType<T>> types) {
        this.types = List.copyOf(types);
    }

    /** The allowed values of the key {@code type}. */
    public List<String> names() {
        return types.stream().map(NetworkType::name).toList();
    }

    /** The label of a type, or {@code name} itself if there is no such type. */
    public String label(String name) {
        return types.stream()
                .filter(t -> t.name().equals(name))
                .map(NetworkType::label)
                .findFirst()
                .orElse(name);
    }

    /** Creates the network that the key {@code type} names from the network's own section. */
    T of(Settings s) {
        String name = s.choice("type", names());
        NetworkType<T> type =
                types.stream().filter(t -> t.name().equals(name)).findFirst().orElseThrow();
        return type.factory().apply(s);
    }

    /** The sections of all networks in YAML, with default and documentation of every key. */
    public String defaults() {
        StringBuilder yaml = new StringBuilder();
        sections()
                .forEach((section, keys) -> yaml.append(section)
                        .append(keys.isBlank() ? ": {}\n" : ":\n")
                        .append(keys.indent(2)));
        return yaml.toString();
    }

    /** The values of a section, without the sections of networks that it does not choose and that have no effect. */
    Map<String, Object> used(Map<String, Object> values) {
        Map<String, Object> used = new LinkedHashMap<>(values);
        used.keySet().removeAll(sections().keySet());
        for (NetworkType<T> t : types)
            if (t.name().equals(values.get("type")) && values.containsKey(t.section()))
                used.put(t.section(), t.used().apply(Json.object(values.get(t.section()), t.section())));
        return used;
    }

    /** The keys in YAML by section; several types may share a section. */
    private Map<String, String> sections() {
        Map<String, String> all = new LinkedHashMap<>();
        for (NetworkType<T> t : types) all.put(t.section(), t.keys());
        return all;
    }
}
