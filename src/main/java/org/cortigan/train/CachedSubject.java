// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.ImageCache;
import org.cortigan.cortex.MissingVertices;

/** Photographs of a challenge subject, decoded once into a cache. */
abstract class CachedSubject implements TrainingData, AutoCloseable {
    /** The subject that saw the photographs. */
    protected final AlgonautsSubject subject;

    private final ImageCache images;

    /**
     * @param files files of the photographs
     * @param size side of the photographs, in pixels
     * @param cache folder of the cache
     * @param log receives messages for the user
     */
    CachedSubject(AlgonautsSubject subject, List<Path> files, int size, Path cache, Consumer<String> log) {
        this.subject = subject;
        images = ImageCache.open(cache, files, size, log);
    }

    @Override
    public String subjectName() {
        return AlgonautsSubject.folderName(subject.number());
    }

    @Override
    public int count() {
        return images.count();
    }

    @Override
    public int leftVertices() {
        return subject.left();
    }

    @Override
    public int rightVertices() {
        return subject.right();
    }

    @Override
    public MissingVertices missing() {
        return subject.missing();
    }

    @Override
    public Optional<Store> store() {
        return Optional.of(new Store(images.folder(), images.identity()));
    }

    @Override
    public void image(int i, ByteBuffer into) {
        images.read(i, into);
    }

    @Override
    public void close() {
        images.close();
    }
}
