// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import org.cortigan.train.TrainingData;

/** One data set at each image size that a group of models needs, opened when a size is first asked for. */
final class DataBySize<T extends TrainingData> implements IntFunction<T>, AutoCloseable {
    private final Map<Integer, T> bySize = new TreeMap<>();
    private final IntFunction<T> open;
    private final Consumer<T> close;

    /**
     * @param open opens the data set for images of a side in pixels
     * @param close closes what was opened
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
