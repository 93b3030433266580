// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLConnection;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** The bundled recipes: every YAML file of the resource folder, so that a new recipe needs no registration. */
final class BundledRecipes {
    private static final String FOLDER = "org/cortigan/recipes/";
    private static final String DEFAULTS = "defaults";
    private static final String SUFFIX = ".yaml";

    /**
     * Order of the list: the quickstart, the models of the source study in its order, then our own. Other files follow
     * by name.
     */
    private static final List<String> ORDER = List.of(
            "quickstart",
            "sd-finetune",
            "sd-finetune-epsilon",
            "vanilla-gan",
            "vit-gan",
            "vanilla-corr-2d",
            "unet-corr-2d",
            "vanilla-patch-multi",
            "vit-patch-multi",
            "vit-corr-2d",
            "vit-position",
            "dinov2-position",
            "dinov2-roi-queries",
            "clip-position",
            "clip-roi-queries",
            "sd-features",
            "gabor-corr-2d",
            "vit-gabor-corr-2d");

    private BundledRecipes() {}

    /** Names of the recipes, without the defaults. */
    static List<String> names() {
        List<String> found = files().stream()
                .filter(f -> f.endsWith(SUFFIX))
                .map(f -> f.substring(0, f.length() - SUFFIX.length()))
                .filter(f -> !f.equals(DEFAULTS))
                .sorted()
                .toList();
        Set<String> names = new LinkedHashSet<>(ORDER);
        names.retainAll(found);
        names.addAll(found);
        return List.copyOf(names);
    }

    /** File names in the resource folder, which is in a jar or, before packaging, on disk. */
    private static List<String> files() {
        try {
            URLConnection c = url(DEFAULTS).openConnection();
            if (c instanceof JarURLConnection jar)
                return jar.getJarFile().stream()
                        .map(e -> e.getName())
                        .filter(n -> n.startsWith(FOLDER))
                        .map(n -> n.substring(FOLDER.length()))
                        .filter(n -> !n.contains("/"))
                        .toList();
            try (Stream<Path> files = Files.list(Path.of(url(DEFAULTS).toURI()).getParent())) {
                return files.map(f -> f.getFileName().toString()).toList();
            }
        } catch (IOException | URISyntaxException e) {
            throw new IllegalStateException("the bundled recipes cannot be listed", e);
        }
    }

    private static URL url(String name) {
        URL url = BundledRecipes.class.getResource("/" + FOLDER + name + SUFFIX);
        if (url == null) throw new IllegalStateException("no resource for recipe " + name);
        return url;
    }

    /** Text of a recipe file, with its comments. */
    static String text(String name) {
        try (InputStream in = url(name).openStream()) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new IllegalStateException("the recipe " + name + " cannot be read", e);
        }
    }
}
