// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.cortigan.train.TrainingData;

/** Opens one data set at every image size that a group of models needs, at the first use of each size. */
final class DataBySize<T extends TrainingData> implements IntFunction<T>, AutoCloseable {
    private final Map<Integer, T> bySize = new TreeMap<>();
    private final IntFunction<T> open;
    private final Consumer<T> close;

    /**
     * @param open opens the data set for an image side in pixels
     * @param close closes a data set
     */
    DataBySize(IntFunction<T> open, Consumer<T> close) {
        this.open = open;
        this.close = close;
    }

    @Override
    public T apply(int size) {
        return bySize.computeIfAbsent(size, open::apply);
    }

    @Override
    public void close() {
        bySize.values().forEach(close);
    }
}
