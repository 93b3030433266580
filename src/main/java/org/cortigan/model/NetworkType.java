// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.function.Function;
import org.cortigan.config.Settings;

/**
 * A kind of network that a recipe can choose. Each network's class has one as a constant, so that its name, its keys,
 * their defaults and their documentation stand in one file.
 *
 * @param name value of the recipe's key {@code type}
 * @param label name for people, in tables
 * @param section section of the recipe with this network's own keys
 * @param keys those keys in YAML, each with its default and a comment; {@code recipes defaults} prints them
 * @param factory makes the network from that section; throws {@link org.cortigan.InputException} for a value that does
 *     not fit
 */
public record NetworkType<T>(String name, String label, String section, String keys, Function<Settings, T> factory) {
    /** A type whose section has its own name. */
    NetworkType(String name, String label, String keys, Function<Settings, T> factory) {
        this(name, label, name, keys, factory);
    }
}
