// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Holds {@link Browser} to small pages whose behaviour is known. */
@Tag("slow")
class BrowserTest {
    private static Browser browser;

    @TempDir
    Path folder;

    @BeforeAll
    static void start() {
        browser = Browser.start();
    }

    @AfterAll
    static void end() {
        if (browser != null) browser.close();
    }

    private void open(String html) throws IOException {
        browser.open(Files.writeString(folder.resolve("page.html"), "<!doctype html><title>page</title>" + html));
    }

    @Test
    void aPageWithoutFaultsHasNoErrorsAndNoRequests() throws IOException {
        open("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACH5BAAAAAAALAAAAAABAAEAAAIBAAA7'>"
                + "<script>console.log('fine'); console.warn('fine');"
                + "fetch(URL.createObjectURL(new Blob(['x'])))</script>");
        assertEquals("page", browser.evaluate("document.title"));
        assertEquals(List.of(), browser.errors());
        assertEquals(List.of(), browser.requests());
    }

    @Test
    void errorsAreSeen() throws IOException {
        open("<script>console.error('red', 7); setTimeout(() => { throw new Error('late') });"
                + "Promise.reject(new Error('promised'))</script><script>}</script>");
        browser.evaluate("new Promise(done => setTimeout(done, 50))");
        String all = String.join("\n", browser.errors());
        assertEquals(4, browser.errors().size(), all);
        for (String part : List.of("console: red 7", "Error: late", "Error: promised", "SyntaxError"))
            assertTrue(all.contains(part), part + " is not in " + all);
    }

    @Test
    void requestsAreSeenAlsoThoseOfWorkersAndFiles() throws IOException {
        List<String> asked = new ArrayList<>();
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", x -> {
            asked.add(x.getRequestURI().toString());
            x.getResponseHeaders().set("Access-Control-Allow-Origin", "*");
            x.getResponseHeaders().set("Content-Type", "text/html");
            byte[] body = "<link rel=icon href='data:,'><p id=p>served".getBytes(StandardCharsets.UTF_8);
            x.sendResponseHeaders(200, body.length);
            x.getResponseBody().write(body);
            x.close();
        });
        server.start();
        try {
            String at = "http://localhost:" + server.getAddress().getPort() + "/";
            open("<link rel=stylesheet href=missing.css><script>const at = '" + at + "';"
                    + "const code = `fetch('${at}worker').then(() => postMessage(1))`;"
                    + "const worker = new Worker(URL.createObjectURL(new Blob([code])));"
                    + "const done = Promise.all([fetch(at + 'page'),"
                    + " new Promise(r => worker.onmessage = r)])</script>");
            browser.evaluate("done.then(() => 0)");
            String missing = folder.resolve("missing.css").toUri().toString();
            assertEquals(
                    List.of(missing, at + "page", at + "worker"),
                    browser.requests().stream().sorted().toList());
            browser.open(URI.create(at + "#part"));
            assertEquals("served", browser.evaluate("p.textContent"));
            assertEquals(List.of(), browser.requests(), "a page's own address is no request");
            assertEquals(
                    List.of("/", "/page", "/worker"), asked.stream().sorted().toList());
        } finally {
            server.stop(0);
        }
    }

    @Test
    void noOtherMachineIsReached() throws IOException {
        open("<p>");
        assertEquals("TypeError", browser.evaluate("fetch('http://example.org/').catch(e => e.name)"));
        assertEquals(List.of("http://example.org/"), browser.requests());
    }

    @Test
    void expressionsHaveValues() throws IOException {
        open("<p>");
        assertEquals(3L, browser.evaluate("new Promise(done => setTimeout(() => done(1 + 2), 10))"));
        assertEquals(0.5, browser.evaluate("1 / 2"));
        assertEquals(null, browser.evaluate("undefined"));
        assertEquals(Double.NaN, browser.evaluate("NaN"));
        assertEquals(List.of(Map.of("a", "b"), true), browser.evaluate("[{a: 'b'}, true]"));
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> browser.evaluate("nothing.at"));
        assertTrue(e.getMessage().contains("nothing is not defined"), e.getMessage());
        assertThrows(IllegalStateException.class, () -> browser.evaluate("Promise.reject(new Error('no'))"));
    }

    @Test
    void anEndlessWaitEndsWithTheLastMessages() throws IOException {
        open("<p>");
        browser.limit(Duration.ofMillis(200));
        try {
            IllegalStateException e =
                    assertThrows(IllegalStateException.class, () -> browser.evaluate("new Promise(() => {})"));
            assertTrue(e.getMessage().contains("Runtime.evaluate did not end within 200 ms"), e.getMessage());
            assertTrue(e.getMessage().contains("> {\"id\":"), e.getMessage());
        } finally {
            browser.limit(Duration.ofSeconds(60));
        }
    }

    @Test
    void mouseAndKeysArrive() throws IOException {
        open("<style>body{margin:0}</style><input id=a><br><button id=b>b</button>"
                + "<script>const seen = []; for (const type of ['mousemove', 'click', 'keydown'])"
                + " addEventListener(type, e =>"
                + " seen.push([type, e.key ?? e.clientX, e.clientY ?? e.shiftKey]))</script>");
        browser.move(301, 202);
        browser.click(400, 300);
        browser.press("Tab");
        browser.press("h");
        browser.press("ArrowLeft");
        browser.press("a");
        browser.press("Tab");
        assertEquals("b", browser.evaluate("document.activeElement.id"));
        browser.press("Shift+Tab");
        assertEquals("ah", browser.evaluate("document.activeElement.value"));
        List<?> seen = (List<?>) browser.evaluate("seen");
        assertTrue(seen.contains(List.of("mousemove", 301L, 202L)), seen.toString());
        assertTrue(seen.contains(List.of("click", 400L, 300L)), seen.toString());
        assertTrue(seen.contains(List.of("keydown", "Tab", true)), seen.toString());
        assertThrows(IllegalArgumentException.class, () -> browser.press("Tabulator"));
    }

    @Test
    void aScreenshotHasThePagesPixels() throws IOException {
        open("<style>body{margin:0;background:#123456}p{position:fixed;margin:0;left:100px;top:50px;width:7px;"
                + "height:9px;background:#fedcba}@media print{p{display:none}}"
                + "@media (prefers-reduced-motion:reduce){body{background:#010203}}</style><p>");
        BufferedImage shot = browser.screenshot();
        assertEquals(Browser.WIDTH, shot.getWidth());
        assertEquals(Browser.HEIGHT, shot.getHeight());
        for (int y = 0; y < shot.getHeight(); y++)
            for (int x = 0; x < shot.getWidth(); x++) {
                boolean inside = x >= 100 && x < 107 && y >= 50 && y < 59;
                assertEquals(inside ? 0xfffedcba : 0xff123456, shot.getRGB(x, y), x + ", " + y);
            }
        browser.media("print", Map.of("prefers-reduced-motion", "reduce"));
        browser.size(300, 200);
        shot = browser.screenshot();
        assertEquals(300, shot.getWidth());
        assertEquals(0xff010203, shot.getRGB(103, 53));
        browser.media("", Map.of());
        assertEquals(0xfffedcba, browser.screenshot().getRGB(103, 53));
    }

    @Test
    void webGlDraws() throws IOException {
        String page = "<style>body{margin:0}canvas{display:block}</style><canvas id=c width=40 height=30></canvas>"
                + "<script>const gl = c.getContext('webgl2', {preserveDrawingBuffer: true});"
                + "if (gl) { gl.clearColor(0, 1, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT); }</script>";
        open(page);
        assertEquals(true, browser.evaluate("gl instanceof WebGL2RenderingContext"));
        assertEquals(0xff00ff00, browser.screenshot().getRGB(20, 15));
        try (Browser without = Browser.start("--disable-gpu", "--disable-3d-apis")) {
            without.open(Files.writeString(folder.resolve("without.html"), "<!doctype html>" + page));
            assertEquals(true, without.evaluate("gl === null"));
        }
    }

    @Test
    void aPagePrints() throws IOException {
        open("<style>@page{size:100mm 200mm}p{break-after:page}</style><p>1<p>2");
        String pdf = new String(browser.pdf(), StandardCharsets.ISO_8859_1);
        assertTrue(pdf.startsWith("%PDF-"), pdf.substring(0, 8));
        assertTrue(pdf.split("/Type /Page\\b").length == 3, "two pages of " + pdf.length() + " bytes");
    }

    @Test
    void pagesShareNothing() throws IOException {
        open("<script>const before = localStorage.getItem('x'); localStorage.setItem('x', 1)</script>");
        open("<script>const before = localStorage.getItem('x'); localStorage.setItem('x', 1)</script>");
        assertEquals(null, browser.evaluate("before"));
        IllegalStateException e =
                assertThrows(IllegalStateException.class, () -> browser.open(folder.resolve("no such file.html")));
        assertTrue(e.getMessage().contains("ERR_FILE_NOT_FOUND"), e.getMessage());
    }

    @Test
    void closingLeavesNoProcessAndNoFile() throws IOException {
        List<ProcessHandle> all;
        Path profile;
        try (Browser b = Browser.start()) {
            b.open(Files.writeString(folder.resolve("page.html"), "<p>"));
            all = new ArrayList<>(b.process().descendants().toList());
            all.add(b.process());
            profile = b.profile();
            assertTrue(Files.exists(profile));
        }
        assertTrue(all.size() > 2, all.toString());
        assertEquals(List.of(), all.stream().filter(Processes::runs).toList());
        assertFalse(Files.exists(profile));
    }
}
