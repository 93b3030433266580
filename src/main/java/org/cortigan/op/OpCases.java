// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;

/** Finds the ops of this package and their cases by scanning the class files, so that no op is missed. */
public final class OpCases {
    private static final String FOLDER = Op.class.getPackageName().replace('.', '/') + "/";

    private OpCases() {}

    /**
     * The cases of all ops, sorted by the name of the op.
     *
     * @throws IllegalStateException if an op has no {@code static List<OpCase> cases()}
     */
    public static List<OpCase> all() {
        List<OpCase> all = new ArrayList<>();
        for (Class<?> op : ops()) if (!op.isMemberClass()) all.addAll(cases(op));
        return all;
    }

    /** The classes of all ops, sorted by name. The cases of an op also cover the ops nested in it. */
    public static List<Class<?>> ops() {
        List<Class<?>> ops = new ArrayList<>();
        for (String name : classNames(location())) {
            Class<?> c = load(name);
            if (Op.class.isAssignableFrom(c) && !c.isInterface()) ops.add(c);
        }
        return ops;
    }

    private static Class<?> load(String name) {
        try {
            return Class.forName(name, false, Op.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(
                    "the class " + name + " cannot be loaded although its class file exists", e);
        }
    }

    /** The jar or class folder that contains this package. */
    static Path location() {
        try {
            return Path.of(
                    Op.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException("the package org.cortigan.op is not in a jar or folder", e);
        }
    }

    /** The names of this package's classes in a jar or class folder, sorted. */
    static List<String> classNames(Path location) {
        try {
            return (Files.isDirectory(location) ? filesOfFolder(location) : filesOfJar(location))
                    .stream()
                            .filter(f -> f.startsWith(FOLDER) && f.endsWith(".class"))
                            .map(f -> f.substring(0, f.length() - ".class".length())
                                    .replace('/', '.'))
                            .sorted()
                            .toList();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot list the classes in " + location, e);
        }
    }

    private static List<String> filesOfFolder(Path location) throws IOException {
        try (Stream<Path> files = Files.list(location.resolve(FOLDER))) {
            return files.map(f -> FOLDER + f.getFileName()).toList();
        }
    }

    private static List<String> filesOfJar(Path location) throws IOException {
        try (JarFile jar = new JarFile(location.toFile())) {
            return jar.stream().map(ZipEntry::getName).toList();
        }
    }

    private static List<OpCase> cases(Class<?> op) {
        try {
            Method cases = op.getDeclaredMethod("cases");
            List<OpCase> list = new ArrayList<>();
            for (Object c : (List<?>) cases.invoke(null)) list.add((OpCase) c);
            return list;
        } catch (InvocationTargetException e) {
            throw new IllegalStateException("cases() of " + op.getName() + " failed", e.getCause());
        } catch (NoSuchMethodException | IllegalAccessException e) {
            throw new IllegalStateException(op.getName() + " has no static List<OpCase> cases()", e);
        }
    }
}
