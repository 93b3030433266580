// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Map;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.cortigan.config.Settings;

/**
 * A type of network that a recipe can choose. The class of each network has its type as a constant, so that name, keys,
 * defaults and documentation of the network are in one file.
 *
 * @param name value of the key {@code type} in recipes
 * @param label name in tables for people
 * @param section section of the recipe with this network's own keys
 * @param keys these keys in YAML, each with its default and a comment; {@code recipes defaults} prints them
 * @param factory creates the network from the section that has {@code type} and the sections of all networks; throws
 *     {@link org.cortigan.InputException} for an invalid value
 * @param used the values of the section that have an effect
 */
public record NetworkType<T>(
        String name,
        String label,
        String section,
        String keys,
        Function<Settings, T> factory,
        UnaryOperator<Map<String, Object>> used) {
    /** A type whose network {@code factory} creates from its own section, all of whose values have an effect. */
    NetworkType(String name, String label, String section, String keys, Function<Settings, T> factory) {
        this(name, label, section, keys, s -> factory.apply(s.section(section)), UnaryOperator.identity());
    }

    /** A type whose section has the type's name. */
    NetworkType(String name, String label, String keys, Function<Settings, T> factory) {
        this(name, label, name, keys, factory);
    }
}
