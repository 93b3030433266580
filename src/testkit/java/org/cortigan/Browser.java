// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.cortigan.io.Json;
import org.junit.jupiter.api.Assumptions;

/**
 * A headless Chromium with one page at a time. Coordinates are CSS pixels of the window, which are pixels of a
 * screenshot too. WebGL is drawn by the processor (SwiftShader), so that every machine draws alike. A page has cookies
 * and storage of its own, and reaches this machine only. Not thread-safe.
 */
public final class Browser implements AutoCloseable {
    /** What to say where {@link #find()} finds none. */
    public static final String MISSING = "no Chromium: install the package chromium, or set CORTIGAN_CHROMIUM";

    /** Width and height of the window. */
    public static final int WIDTH = 1280, HEIGHT = 900;

    private static final List<String> NAMES = List.of("chromium", "chromium-browser", "google-chrome");

    /** Root needs the first, a container with little shared memory the third. */
    private static final List<String> OPTIONS = List.of(
            "--no-sandbox",
            "--no-zygote",
            "--disable-dev-shm-usage",
            "--headless=new",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--ignore-gpu-blocklist",
            "--remote-debugging-port=0",
            "--force-device-scale-factor=1",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
            "--window-size=" + WIDTH + "," + HEIGHT,
            "--no-first-run",
            "--no-default-browser-check",
            "--no-proxy-server",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--disable-breakpad",
            "--mute-audio");

    /** Key codes of keys that write no character. */
    private static final Map<String, Integer> KEYS = Map.ofEntries(
            Map.entry("Tab", 9),
            Map.entry("Enter", 13),
            Map.entry("Escape", 27),
            Map.entry("PageUp", 33),
            Map.entry("PageDown", 34),
            Map.entry("End", 35),
            Map.entry("Home", 36),
            Map.entry("ArrowLeft", 37),
            Map.entry("ArrowUp", 38),
            Map.entry("ArrowRight", 39),
            Map.entry("ArrowDown", 40));

    private final Path profile;
    private final Process process;
    private final Thread hook = new Thread(this::kill);
    private final DevTools devTools;
    private final Map<String, CompletableFuture<Object>> loads = new ConcurrentHashMap<>();
    private final List<String> errors = new CopyOnWriteArrayList<>(), requests = new CopyOnWriteArrayList<>();
    private Duration limit = Duration.ofSeconds(60);
    /** The page's browser context and session; "" before the first page. */
    private String context = "", session = "";
    /** Address of the page, without fragment. */
    private volatile String address = "";

    /** The Chromium that CORTIGAN_CHROMIUM names, or one on PATH. */
    public static Optional<Path> find() {
        String named = System.getenv("CORTIGAN_CHROMIUM");
        if (named != null) {
            if (!Files.isExecutable(Path.of(named)))
                throw new IllegalStateException("CORTIGAN_CHROMIUM names " + named + ", which is no program");
            return Optional.of(Path.of(named));
        }
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .flatMap(folder -> NAMES.stream().map(n -> Path.of(folder, n)))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /**
     * Starts Chromium, or skips the test and says why.
     *
     * @param more options of Chromium
     */
    public static Browser start(String... more) {
        Path program = find().orElse(null);
        if (program == null) {
            System.out.println(MISSING);
            Assumptions.abort(MISSING);
        }
        return new Browser(program, List.of(more));
    }

    private Browser(Path program, List<String> more) {
        List<String> command = new ArrayList<>(List.of(program.toString()));
        command.addAll(OPTIONS);
        command.addAll(more);
        try {
            profile = Files.createTempDirectory("cortigan-chromium");
            command.add("--user-data-dir=" + profile);
            command.add("about:blank");
            process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(profile.resolve("output.txt").toFile())
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Runtime.getRuntime().addShutdownHook(hook);
        try {
            devTools = new DevTools(devToolsAddress(), limit, this::event);
        } catch (RuntimeException e) {
            String output = output();
            kill();
            throw new IllegalStateException(e.getMessage() + "\n" + output, e);
        }
    }

    /** Waits for the file in which Chromium writes its port and the path of its DevTools. */
    private String devToolsAddress() {
        Path file = profile.resolve("DevToolsActivePort");
        for (long end = System.nanoTime() + limit.toNanos(); System.nanoTime() < end; pause()) {
            try {
                List<String> lines = Files.exists(file) ? Files.readAllLines(file) : List.of();
                if (lines.size() == 2) return "ws://127.0.0.1:" + lines.get(0) + lines.get(1);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            if (!process.isAlive())
                throw new IllegalStateException("Chromium ended with code " + process.exitValue() + ":");
        }
        throw new IllegalStateException("Chromium did not open its DevTools within " + limit.toSeconds() + " s:");
    }

    private static void pause() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private String output() {
        try {
            return Files.readString(profile.resolve("output.txt"));
        } catch (IOException e) {
            return "Chromium's output cannot be read: " + e;
        }
    }

    /** Sets how long each of the following actions may take; 60 s by default. */
    public void limit(Duration limit) {
        this.limit = limit;
    }

    /** The process, which has children. */
    public ProcessHandle process() {
        return process.toHandle();
    }

    /** The folder of its files. */
    Path profile() {
        return profile;
    }

    private Map<String, Object> call(String method, Map<String, ?> parameters) {
        return devTools.call(session, method, parameters, limit);
    }

    /** Opens a file as a new page, and waits until it has loaded. */
    public void open(Path file) {
        open(file.toAbsolutePath().toUri());
    }

    /** Opens a new page, and waits until it has loaded. */
    public void open(URI page) {
        leave();
        context = (String) devTools.call("", "Target.createBrowserContext", Map.of(), limit)
                .get("browserContextId");
        Object target = devTools.call(
                        "", "Target.createTarget", Map.of("url", "about:blank", "browserContextId", context), limit)
                .get("targetId");
        session =
                (String) devTools.call("", "Target.attachToTarget", Map.of("targetId", target, "flatten", true), limit)
                        .get("sessionId");
        errors.clear();
        requests.clear();
        loads.clear();
        String text = page.toString();
        address = text.contains("#") ? text.substring(0, text.indexOf('#')) : text;
        observe(session);
        call("Page.enable", Map.of());
        call("Page.setLifecycleEventsEnabled", Map.of("enabled", true));
        size(WIDTH, HEIGHT);
        Map<String, Object> started = call("Page.navigate", Map.of("url", text));
        if (started.containsKey("errorText"))
            throw new IllegalStateException(text + " cannot be opened: " + started.get("errorText"));
        devTools.await(load((String) started.get("loaderId")), "loading " + text, limit);
    }

    private CompletableFuture<Object> load(String loader) {
        return loads.computeIfAbsent(loader, l -> new CompletableFuture<>());
    }

    /** Closes the page. */
    private void leave() {
        if (context.isEmpty()) return;
        devTools.call("", "Target.disposeBrowserContext", Map.of("browserContextId", context), limit);
        context = session = "";
    }

    /** Listens to a page, frame or worker, which waits until it is listened to. Does not wait. */
    private void observe(String target) {
        for (String domain : List.of("Runtime", "Log", "Network")) post(target, domain + ".enable", Map.of());
        post(
                target,
                "Target.setAutoAttach",
                Map.of("autoAttach", true, "waitForDebuggerOnStart", true, "flatten", true));
        post(target, "Runtime.runIfWaitingForDebugger", Map.of());
    }

    /** Calls a method that some kinds of targets lack. */
    private void post(String target, String method, Map<String, ?> parameters) {
        var unused = devTools.send(target, method, parameters);
    }

    private void event(DevTools.Event e) {
        Map<String, Object> p = e.params();
        switch (e.method()) {
            case "Target.attachedToTarget" -> {
                // The page itself is attached by open(), from no session.
                if (!e.session().isEmpty()) observe((String) p.get("sessionId"));
            }
            case "Page.lifecycleEvent" -> {
                if (p.get("name").equals("load"))
                    load((String) p.get("loaderId")).complete(p);
            }
            case "Runtime.exceptionThrown" -> errors.add(exception(p));
            case "Runtime.consoleAPICalled" -> {
                if (p.get("type").equals("error") || p.get("type").equals("assert"))
                    errors.add("console: "
                            + list(p, "args").stream()
                                    .map(a -> String.valueOf(a.getOrDefault("value", a.get("description"))))
                                    .collect(Collectors.joining(" ")));
            }
            case "Log.entryAdded" -> {
                Map<String, Object> entry = object(p, "entry");
                if (entry.get("level").equals("error"))
                    errors.add(entry.get("source") + ": " + entry.get("text") + " " + entry.getOrDefault("url", ""));
            }
            case "Network.requestWillBeSent" -> {
                String url = (String) object(p, "request").get("url");
                boolean itself = url.equals(address) && "Document".equals(p.get("type"));
                if (!itself && !url.startsWith("data:") && !url.startsWith("blob:")) requests.add(url);
            }
            case "Network.webSocketCreated", "Network.webTransportCreated" -> requests.add((String) p.get("url"));
            default -> {}
        }
    }

    private static Map<String, Object> object(Map<String, Object> in, String key) {
        return Json.object(in.get(key), key);
    }

    private static List<Map<String, Object>> list(Map<String, Object> in, String key) {
        return ((List<?>) in.get(key)).stream().map(o -> Json.object(o, key)).toList();
    }

    private static String exception(Map<String, Object> p) {
        Map<String, Object> details = object(p, "exceptionDetails");
        Object thrown = details.get("exception") == null
                ? null
                : object(details, "exception").getOrDefault("description", details.get("exception"));
        return details.get("text") + " " + thrown + " (line " + details.get("lineNumber") + ")";
    }

    /** The exceptions that nobody caught and the errors on the page's console, so far. */
    public List<String> errors() {
        return List.copyOf(errors);
    }

    /** The addresses that the page has asked for, but not its own, and none that begins with data: or blob:. */
    public List<String> requests() {
        return List.copyOf(requests);
    }

    /**
     * Evaluates a JavaScript expression in the page. The value of a promise is awaited.
     *
     * @return a value as of {@link Json}; also null for undefined, and a Double for NaN and infinity
     * @throws IllegalStateException with JavaScript's message if the expression throws
     */
    public Object evaluate(String expression) {
        Map<String, Object> answer = call(
                "Runtime.evaluate",
                Map.of("expression", expression, "awaitPromise", true, "returnByValue", true, "userGesture", true));
        if (answer.containsKey("exceptionDetails"))
            throw new IllegalStateException(expression + ": " + exception(answer));
        Map<String, Object> result = object(answer, "result");
        Object special = result.get("unserializableValue");
        if (special == null) return result.get("value");
        return Double.valueOf((String) special);
    }

    /** What the window shows. */
    public BufferedImage screenshot() {
        byte[] png = bytes(call("Page.captureScreenshot", Map.of("format", "png")));
        try {
            return ImageIO.read(new ByteArrayInputStream(png));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The page as it prints, as a PDF file. */
    public byte[] pdf() {
        return bytes(call("Page.printToPDF", Map.of("printBackground", true, "preferCSSPageSize", true)));
    }

    private static byte[] bytes(Map<String, Object> answer) {
        return Base64.getDecoder().decode((String) answer.get("data"));
    }

    /** Moves the mouse. */
    public void move(double x, double y) {
        mouse("mouseMoved", x, y, "none");
    }

    /** Moves the mouse and presses its left button. */
    public void click(double x, double y) {
        move(x, y);
        mouse("mousePressed", x, y, "left");
        mouse("mouseReleased", x, y, "left");
    }

    private void mouse(String type, double x, double y, String button) {
        int clicks = button.equals("none") ? 0 : 1;
        call("Input.dispatchMouseEvent", Map.of("type", type, "x", x, "y", y, "button", button, "clickCount", clicks));
    }

    /**
     * Presses a key.
     *
     * @param key a character, or Tab, Enter, Escape, PageUp, PageDown, Home, End, ArrowLeft and the like; "Shift+" may
     *     stand before it
     */
    public void press(String key) {
        boolean shift = key.startsWith("Shift+");
        String name = shift ? key.substring(6) : key;
        if (name.length() != 1 && !KEYS.containsKey(name)) throw new IllegalArgumentException("no key " + key);
        Map<String, Object> p = new HashMap<>();
        p.put("key", name);
        p.put("code", name.equals(" ") ? "Space" : name.length() > 1 ? name : "");
        p.put("windowsVirtualKeyCode", KEYS.getOrDefault(name, (int) Character.toUpperCase(name.charAt(0))));
        p.put("modifiers", shift ? 8 : 0);
        if (name.length() == 1 || name.equals("Enter")) p.put("text", name.length() == 1 ? name : "\r");
        p.put("type", "keyDown");
        call("Input.dispatchKeyEvent", p);
        p.remove("text");
        p.put("type", "keyUp");
        call("Input.dispatchKeyEvent", p);
    }

    /** Sets width and height of the window for this page. */
    public void size(int width, int height) {
        call(
                "Emulation.setDeviceMetricsOverride",
                Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", false));
    }

    /**
     * Sets the medium and what the user prefers, for this page.
     *
     * @param type "screen" or "print"; "" for the default
     * @param features for example "prefers-reduced-motion" and "reduce"
     */
    public void media(String type, Map<String, String> features) {
        List<Map<String, String>> all = features.entrySet().stream()
                .map(e -> Map.of("name", e.getKey(), "value", e.getValue()))
                .toList();
        call("Emulation.setEmulatedMedia", Map.of("media", type, "features", all));
    }

    /** Ends Chromium and all its children, and deletes its files. */
    @Override
    public void close() {
        // Chromium does not wait for its children, and an orphan is no longer a descendant.
        List<ProcessHandle> children = process.descendants().toList();
        try {
            devTools.call("", "Browser.close", Map.of(), Duration.ofSeconds(5));
            process.waitFor(5, TimeUnit.SECONDS);
        } catch (IllegalStateException e) {
            // Chromium may end before it answers; kill() ends one that hangs.
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        devTools.close();
        Processes.awaitEnd(children, Duration.ofSeconds(5));
        kill(children);
        Runtime.getRuntime().removeShutdownHook(hook);
    }

    private void kill() {
        kill(process.descendants().toList());
    }

    private void kill(List<ProcessHandle> children) {
        List<ProcessHandle> all = new ArrayList<>(children);
        all.add(process.toHandle());
        all.forEach(ProcessHandle::destroyForcibly);
        for (ProcessHandle p : Processes.awaitEnd(all, Duration.ofSeconds(5)))
            System.err.println("process " + p.pid() + " of Chromium does not end");
        try (Stream<Path> files = Files.walk(profile)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(file);
        } catch (IOException | UncheckedIOException e) {
            System.err.println(profile + " cannot be deleted: " + e);
        }
    }
}
