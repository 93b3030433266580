// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.config.Settings;

/** The networks that a section of a recipe can choose by its key {@code type}, in the order of the documentation. */
public final class NetworkTypes<T> {
    private final List<NetworkType<T>> types;

    NetworkTypes(List<NetworkType<T>> types) {
        this.types = List.copyOf(types);
    }

    /** Values of the key {@code type}. */
    public List<String> names() {
        return types.stream().map(NetworkType::name).toList();
    }

    /** A type's name for people; the name itself where there is no such type. */
    public String label(String name) {
        return types.stream()
                .filter(t -> t.name().equals(name))
                .map(NetworkType::label)
                .findFirst()
                .orElse(name);
    }

    /** The network that the section's key {@code type} names, made from that network's own section. */
    T of(Settings s) {
        String name = s.choice("type", names());
        NetworkType<T> type =
                types.stream().filter(t -> t.name().equals(name)).findFirst().orElseThrow();
        return type.factory().apply(s.section(type.section()));
    }

    /** The networks' sections in YAML, with the default and the documentation of every key. */
    public String defaults() {
        StringBuilder yaml = new StringBuilder();
        sections().forEach((section, keys) -> yaml.append(section).append(":\n").append(keys.indent(2)));
        return yaml.toString();
    }

    /** Values of a section without the sections of the networks that it does not choose: they decide nothing. */
    Map<String, Object> used(Map<String, Object> values) {
        Map<String, Object> used = new LinkedHashMap<>(values);
        used.keySet().removeAll(sections().keySet());
        for (NetworkType<T> t : types)
            if (t.name().equals(values.get("type")) && values.containsKey(t.section()))
                used.put(t.section(), values.get(t.section()));
        return used;
    }

    /** Keys in YAML by section; types may share a section. */
    private Map<String, String> sections() {
        Map<String, String> all = new LinkedHashMap<>();
        for (NetworkType<T> t : types) all.put(t.section(), t.keys());
        return all;
    }
}
