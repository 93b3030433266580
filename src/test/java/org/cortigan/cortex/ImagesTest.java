// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which files of a folder are photographs, and where the decoded ones go. */
class ImagesTest {
    @TempDir
    Path dir;

    private final List<String> log = new ArrayList<>();

    private List<String> list(String... names) throws Exception {
        for (String n : names)
            if (n.endsWith("/")) Files.createDirectories(dir.resolve(n));
            else Files.writeString(dir.resolve(n), "x");
        return Images.list(dir, log::add).stream()
                .map(p -> p.getFileName().toString())
                .toList();
    }

    @Test
    void guestsArePassedOverWithoutAWord() throws Exception {
        // In the POSIX locale the JVM cannot create a file of the first name.
        String french = System.getProperty("sun.jnu.encoding").equals("UTF-8") ? "\u00e9t\u00e9 1.png" : "ete 1.png";
        assertEquals(
                List.of("B.PNG", "a.jpg", "c.JPeG", "d.jfif", french),
                list(
                        "a.jpg",
                        "B.PNG",
                        "c.JPeG",
                        "d.jfif",
                        french,
                        "._a.jpg",
                        ".DS_Store",
                        ".hidden.png",
                        "Thumbs.db",
                        "desktop.ini",
                        "@eaDir/",
                        ".git/"));
        assertEquals(List.of(), log);
    }

    @Test
    void otherFilesAndFoldersAreNamed() throws Exception {
        assertEquals(List.of("a.png"), list("a.png", "b.webp", "c.bmp", "sub/", "dir.png/"));
        assertEquals(
                List.of(
                        "2 files are no PNG or JPEG and left out: b.webp, c.bmp",
                        "2 folders in " + dir + " are not searched for photographs: dir.png, sub"),
                log);
        log.clear();
        list("d\u001b[31m\n.txt", "e", "f", "g");
        assertEquals(
                "6 files are no PNG or JPEG and left out: b.webp, c.bmp, d\\u001b[31m\\u000a.txt, e, f and 1 more",
                log.get(0));
    }

    @Test
    void aFolderWithoutPhotographsSaysWhatItHas() {
        String message =
                assertThrows(InputException.class, () -> list("b.webp", "sub/")).getMessage();
        assertTrue(message.contains("has no PNG or JPEG files, but b.webp, sub"), message);
    }

    private List<Path> photographs(int n) {
        return IntStream.range(0, n)
                .mapToObj(i -> {
                    Path p = dir.resolve(i + ".png");
                    byte[] pixels = new byte[20 * 20 * 3];
                    java.util.Arrays.fill(pixels, (byte) i);
                    Images.writePng(p, new Rgb(pixels, 20, 20));
                    return p;
                })
                .toList();
    }

    @Test
    void theUsersCacheFolderReplacesADataFolderThatCannotBeWritten() throws Exception {
        List<Path> photos = photographs(3);
        Path user = dir.resolve("home/cortigan");
        // A file in the folder's place refuses even an administrator, whom permissions do not stop.
        Path data = Files.writeString(dir.resolve("file"), "x").resolve(ImageCache.DEFAULT_NAME);
        byte[] pixels = new byte[16 * 16 * 3];
        try (ImageCache c = ImageCache.open(data, user, photos, 16, log::add)) {
            c.read(2, ByteBuffer.wrap(pixels));
            assertEquals(2, pixels[100]);
        }
        assertEquals(1, log.size());
        assertTrue(log.get(0).contains("in " + user + " because " + data + " cannot be written ("), log.get(0));
        ImageCache.open(data, user, photos, 16, log::add).close();
        assertEquals(1, log.size(), "the cache is found again");

        Path nowhere = dir.resolve("file/home");
        String message = assertThrows(InputException.class, () -> ImageCache.open(data, nowhere, photos, 8, log::add))
                .getMessage();
        assertTrue(message.contains(data.toString()) && message.contains(nowhere.toString()), message);
        assertTrue(message.contains("--cache"), message);
        // a folder that the user named is not replaced
        message = assertThrows(
                        InputException.class,
                        () -> ImageCache.open(dir.resolve("file/mine"), user, photos, 8, log::add))
                .getMessage();
        assertTrue(message.contains("file/mine") && message.contains("--cache"), message);
        assertEquals(1, log.size());
    }

    @Test
    void theUsersCacheFolderFollowsXdg() {
        assertEquals(Path.of("/x/cortigan"), ImageCache.userFolder("/x", "/home/me"));
        Path home = Path.of(System.getProperty("user.home"), ".cache", "cortigan");
        for (String none : new String[] {null, "", "relative"}) assertEquals(home, ImageCache.userFolder(none, none));
        assertEquals(Path.of("/home/me/.cache/cortigan"), ImageCache.userFolder("", "/home/me"));
    }

    @Test
    void processesThatBuildTheSameCacheAtOnceDoNoHarm() throws Exception {
        List<Path> photos = photographs(40);
        Path cache = dir.resolve("cache");
        List<CompletableFuture<byte[]>> all = IntStream.range(0, 4)
                .mapToObj(k -> CompletableFuture.supplyAsync(() -> {
                    byte[] pixels = new byte[40 * 16 * 16 * 3];
                    try (ImageCache c = ImageCache.open(cache, photos, 16, s -> {})) {
                        ByteBuffer b = ByteBuffer.wrap(pixels);
                        for (int i = 0; i < 40; i++) c.read(i, b);
                    }
                    return pixels;
                }))
                .toList();
        byte[] first = all.get(0).get();
        for (int i = 0; i < 40; i++) assertEquals(i, first[i * 16 * 16 * 3]);
        for (CompletableFuture<byte[]> other : all) assertArrayEquals(first, other.get());
        try (Stream<Path> s = Files.list(cache)) {
            assertEquals(2, s.count());
        }
        assertFalse(Files.exists(dir.resolve("home")));
    }
}
