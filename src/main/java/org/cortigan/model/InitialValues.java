// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Initial values of parameters from files. A value is read from its file when it is asked for, and again each time, so
 * that no more than one has to be in memory.
 *
 * @param values readers by the parameter's name; what they read fits the parameter
 * @param notes what the files hold and what was done with it, for the user; some begin with "warning: "
 */
public record InitialValues(Map<String, Supplier<float[]>> values, List<String> notes) {
    /** No file. */
    public static final InitialValues NONE = new InitialValues(Map.of(), List.of());

    public InitialValues {
        values = Map.copyOf(values);
        notes = List.copyOf(notes);
    }

    /** These values and others, which win. */
    public InitialValues and(InitialValues others) {
        Map<String, Supplier<float[]>> all = new LinkedHashMap<>(values);
        all.putAll(others.values);
        return new InitialValues(
                all, Stream.concat(notes.stream(), others.notes.stream()).toList());
    }
}
