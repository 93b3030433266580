// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.MissingResourceException;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import java.util.zip.InflaterInputStream;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/**
 * A triangle mesh of a cortical surface, read from FreeSurfer's binary geometry (lh.white, lh.pial, ...) or from GIFTI
 * (.gii, optionally compressed with gzip). Sources of the formats: FreeSurfer's wiki, FileFormats/TriangleSurfaces;
 * GIFTI 1.0 (nitrc.org/projects/gifti).
 *
 * @param points coordinates, [vertices][3], mm
 * @param triangles vertices of each triangle, [triangles][3]
 */
public record Mesh(float[] points, int[] triangles) {
    private static final int MAX_BYTES = 1 << 28, MAX_ROWS = 1 << 24;
    /** Real meshes compress at most 10:1, because coordinates are noisy. A higher ratio than this is an attack. */
    private static final int MAX_EXPANSION = 100;

    private static final String DAMAGED = "The file is damaged; copy it again or convert it again from its source";

    /** Number of vertices. */
    public int vertices() {
        return points.length / 3;
    }

    /**
     * Reads a mesh. The first bytes of the file determine its format.
     *
     * @throws InputException if the file is missing, damaged or not a triangle mesh
     */
    public static Mesh read(Path file) {
        return parse(file, InputFiles.readAll(file, MAX_BYTES, "a surface mesh"));
    }

    /** Parses a file that is already in memory; {@code path} only names it in messages. */
    public static Mesh parse(Path path, byte[] file) {
        if (file.length > 2 && (file[0] & 255) == 0x1f && (file[1] & 255) == 0x8b) {
            int max = (int) Math.min(MAX_BYTES, (1 << 16) + (long) MAX_EXPANSION * file.length);
            try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(file))) {
                file = in.readNBytes(max + 1);
            } catch (IOException e) {
                throw bad(path, "the gzip stream is broken: " + InputFiles.reason(e));
            }
            if (file.length > max) throw bad(path, "it unpacks to more than " + max + " bytes");
        }
        if (file.length > 2 && file[0] == -1 && file[1] == -1) return freeSurfer(path, file);
        int start = 0;
        while (start < file.length && " \t\r\n\u00ef\u00bb\u00bf".indexOf(file[start] & 255) >= 0) start++;
        if (start < file.length && file[start] == '<')
            return gifti(
                    path,
                    new InputStreamReader(
                            new ByteArrayInputStream(file, start, file.length - start), StandardCharsets.UTF_8));
        throw new InputException(
                path.toString(),
                "is neither FreeSurfer geometry nor GIFTI",
                "Give a surface such as lh.white, or convert it with FreeSurfer's mris_convert");
    }

    /** Format: FF FF FE, two lines of text, counts of vertices and triangles, coordinates, triangles; big-endian. */
    private static Mesh freeSurfer(Path path, byte[] file) {
        if (file[2] != (byte) 0xfe)
            throw new InputException(
                    path.toString(),
                    String.format(
                            Locale.ROOT, "has the magic number FF FF %02X, not FF FF FE of a triangle mesh", file[2]),
                    "Convert it with FreeSurfer's mris_convert");
        int at = 3;
        for (int lines = 0; lines < 2; at++) {
            if (at >= file.length) throw bad(path, "it ends within its first lines");
            if (file[at] == '\n') lines++;
        }
        if (file.length - at < 8) throw bad(path, "it ends before the number of vertices");
        ByteBuffer in = ByteBuffer.wrap(file).position(at);
        int vertices = in.getInt(), triangles = in.getInt();
        if (vertices < 0 || triangles < 0 || 12L * vertices + 12L * triangles > in.remaining())
            throw bad(
                    path,
                    vertices + " vertices and " + triangles + " triangles are more than its " + file.length
                            + " bytes hold");
        return checked(path, floats(in, 3 * vertices), ints(in, 3 * triangles));
    }

    private static float[] floats(ByteBuffer in, int n) {
        float[] out = new float[n];
        in.asFloatBuffer().get(out);
        in.position(in.position() + 4 * n);
        return out;
    }

    private static int[] ints(ByteBuffer in, int n) {
        int[] out = new int[n];
        in.asIntBuffer().get(out);
        return out;
    }

    private static Mesh gifti(Path path, Reader file) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false); // GIFTI files refer to a DTD on the web.
        factory.setProperty(XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES, false);
        float[] points = null;
        int[] triangles = null;
        try {
            XMLStreamReader xml = factory.createXMLStreamReader(file);
            try {
                DataArray array = null;
                boolean root = false;
                while (xml.hasNext()) {
                    int event = xml.next();
                    if (event == XMLStreamConstants.START_ELEMENT) {
                        String name = xml.getLocalName();
                        if (!root && !name.equals("GIFTI"))
                            throw bad(path, "its root element is " + InputFiles.quote(name) + ", not GIFTI");
                        root = true;
                        if (name.equals("DataArray")) {
                            array = DataArray.of(path, xml);
                        } else if (name.equals("Data") && array != null) {
                            byte[] data = array.decode(text(xml));
                            if (array.points) {
                                if (points != null) throw bad(path, "it has two point sets");
                                points = array.floats(data);
                            } else {
                                if (triangles != null) throw bad(path, "it has two sets of triangles");
                                triangles = array.ints(data);
                            }
                            array = null;
                        }
                    }
                }
            } finally {
                xml.close();
            }
        } catch (XMLStreamException | MissingResourceException e) { // The JDK lacks some of its XML messages.
            throw bad(
                    path,
                    "not well-formed XML: "
                            + InputFiles.quote(String.valueOf(e.getMessage()).replaceAll("\\s+", " ")));
        }
        if (points == null || triangles == null)
            throw new InputException(
                    path.toString(),
                    "has no data array of intent "
                            + (points == null ? "NIFTI_INTENT_POINTSET" : "NIFTI_INTENT_TRIANGLE"),
                    "Give a surface (.surf.gii), not data on a surface");
        return checked(path, points, triangles);
    }

    /** The text up to the end of this element. */
    private static String text(XMLStreamReader xml) throws XMLStreamException {
        StringBuilder text = new StringBuilder();
        while (xml.next() != XMLStreamConstants.END_ELEMENT) {
            if (xml.isCharacters()) text.append(xml.getTextCharacters(), xml.getTextStart(), xml.getTextLength());
            else if (xml.isStartElement()) throw new XMLStreamException("an element within Data");
        }
        return text.toString();
    }

    /** Element types, without NIFTI_TYPE_. GIFTI 1.0 names UINT8, INT32 and FLOAT32. */
    private enum ElementType {
        FLOAT32(4),
        INT32(4),
        UINT8(1),
        FLOAT64(8),
        INT8(1),
        INT16(2),
        UINT16(2),
        UINT32(4),
        INT64(8),
        UINT64(8);

        /** GIFTI's names, then those that nibabel reads too. */
        private static final String[] NAMES = Stream.concat(
                        Arrays.stream(values()).map(t -> "NIFTI_TYPE_" + t),
                        Arrays.stream(values()).map(t -> t.toString().toLowerCase(Locale.ROOT)))
                .toArray(String[]::new);

        private final int bytes;

        ElementType(int bytes) {
            this.bytes = bytes;
        }

        /** The element at a byte offset; an integer beyond 2^53 is rounded. */
        private double number(ByteBuffer in, int at) {
            return switch (this) {
                case FLOAT32 -> in.getFloat(at);
                case FLOAT64 -> in.getDouble(at);
                case UINT8 -> in.get(at) & 0xff;
                case INT8 -> in.get(at);
                case INT16 -> in.getShort(at);
                case UINT16 -> in.getShort(at) & 0xffff;
                case INT32 -> in.getInt(at);
                case UINT32 -> in.getInt(at) & 0xffffffffL;
                case INT64 -> in.getLong(at);
                case UINT64 -> 2.0 * (in.getLong(at) >>> 1) + (in.getLong(at) & 1);
            };
        }
    }

    /** The attributes of a point set or a triangle set. */
    private record DataArray(
            Path path, boolean points, ElementType type, int rows, boolean columnMajor, int encoding, ByteOrder order) {
        private static final int ASCII = 0, GZIP = 2;
        /** GIFTI 1.0's names, then the constants and short names that some writers use and nibabel reads. */
        private static final String[] ENCODINGS = {
            "ASCII", "Base64Binary", "GZipBase64Binary",
            "GIFTI_ENCODING_ASCII", "GIFTI_ENCODING_B64BIN", "GIFTI_ENCODING_B64GZ",
            "ASCII", "B64BIN", "B64GZ"
        };

        private static final String[] ENDIANS = {
            "BigEndian", "LittleEndian", "GIFTI_ENDIAN_BIG", "GIFTI_ENDIAN_LITTLE", "big", "little"
        };
        private static final String[] ORDERS = {"RowMajorOrder", "ColumnMajorOrder", "C", "F"};

        /** Reads the attributes of a DataArray; null if its intent is neither points nor triangles. */
        static @Nullable DataArray of(Path path, XMLStreamReader xml) {
            String intent = attribute(path, xml, "Intent");
            boolean points = intent.equals("NIFTI_INTENT_POINTSET");
            if (!points && !intent.equals("NIFTI_INTENT_TRIANGLE")) return null;
            int kinds = ElementType.values().length;
            ElementType type = ElementType.values()[one(path, xml, "DataType", kinds, ElementType.NAMES)];
            dimension(path, xml, "Dimensionality", 2, 2);
            dimension(path, xml, "Dim1", 3, 3);
            int rows = dimension(path, xml, "Dim0", 0, MAX_ROWS);
            boolean columns = one(path, xml, "ArrayIndexingOrder", 2, ORDERS) == 1;
            int encoding = one(path, xml, "Encoding", 3, ENCODINGS);
            // ASCII data have no byte order and no size: ascii() writes doubles, big-endian.
            boolean little = encoding != ASCII && one(path, xml, "Endian", 2, ENDIANS) == 1;
            return new DataArray(
                    path,
                    points,
                    encoding == ASCII ? ElementType.FLOAT64 : type,
                    rows,
                    columns,
                    encoding,
                    little ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        }

        private static String attribute(Path path, XMLStreamReader xml, String name) {
            String value = xml.getAttributeValue(null, name);
            if (value == null) throw bad(path, "a DataArray has no attribute " + name);
            return value.strip();
        }

        private static int dimension(Path path, XMLStreamReader xml, String name, int least, int most) {
            String value = attribute(path, xml, name);
            int n = value.matches("\\+?\\d{1,9}") ? Integer.parseInt(value) : -1;
            if (n < least || n > most)
                throw bad(
                        path,
                        name + " of a DataArray is " + InputFiles.quote(value) + ", not "
                                + (least == most ? least : "a number up to " + most));
            return n;
        }

        /**
         * The number of an attribute's value.
         *
         * @param known names of the values, then other names of the same values in the same order
         */
        private static int one(Path path, XMLStreamReader xml, String name, int values, String... known) {
            String value = attribute(path, xml, name);
            int i = List.of(known).indexOf(value);
            if (i < 0)
                throw new InputException(
                        path.toString(),
                        name + " of a DataArray is " + InputFiles.quote(value) + ", which is not supported",
                        "Write the surface with " + name + " "
                                + String.join(" or ", Arrays.copyOf(known, Math.min(values, 4))));
            return i % values;
        }

        /** The elements as row-major bytes in {@link #order}. */
        byte[] decode(String text) {
            byte[] data = encoding == ASCII ? ascii(text) : base64(text);
            if (!columnMajor) return data;
            byte[] out = new byte[data.length];
            int n = type.bytes;
            for (int i = 0; i < 3 * rows; i++) System.arraycopy(data, n * (i % 3 * rows + i / 3), out, n * i, n);
            return out;
        }

        /** The elements of a point set, rounded to float. */
        float[] floats(byte[] data) {
            ByteBuffer in = ByteBuffer.wrap(data).order(order);
            float[] out = new float[3 * rows];
            for (int i = 0; i < out.length; i++) out[i] = (float) type.number(in, i * type.bytes);
            return out;
        }

        /** The elements of a triangle set. */
        int[] ints(byte[] data) {
            ByteBuffer in = ByteBuffer.wrap(data).order(order);
            int[] out = new int[3 * rows];
            for (int i = 0; i < out.length; i++) {
                double vertex = type.number(in, i * type.bytes);
                out[i] = (int) vertex;
                if (out[i] != vertex)
                    throw bad(path, String.format(Locale.ROOT, "triangle %d names vertex %.15g", i / 3, vertex));
            }
            return out;
        }

        private byte[] base64(String text) {
            int bytes = Math.multiplyExact(3 * type.bytes, rows);
            byte[] data;
            try {
                data = Base64.getDecoder().decode(text.replaceAll("\\s", ""));
                if (encoding == GZIP)
                    try (InputStream in = new InflaterInputStream(new ByteArrayInputStream(data))) {
                        data = in.readNBytes(bytes + 1);
                    }
            } catch (IllegalArgumentException | IOException e) {
                throw bad(
                        path,
                        "Data of encoding " + ENCODINGS[encoding] + " cannot be decoded: "
                                + InputFiles.quote(String.valueOf(e.getMessage())));
            }
            if (data.length != bytes)
                throw bad(
                        path,
                        "a DataArray of " + rows + " rows holds " + (data.length > bytes ? "more" : "fewer") + " than "
                                + bytes + " bytes");
            return data;
        }

        private byte[] ascii(String text) {
            if (text.length() < 6L * rows - 1)
                throw bad(path, "a DataArray has fewer than " + 3L * rows + " numbers"); // At least "1 " each.
            ByteBuffer out = ByteBuffer.allocate(3 * type.bytes * rows);
            int at = 0;
            while (true) {
                while (at < text.length() && text.charAt(at) <= ' ') at++;
                if (at == text.length()) break;
                int from = at;
                while (at < text.length() && text.charAt(at) > ' ') at++;
                String number = text.substring(from, at);
                if (!out.hasRemaining()) throw bad(path, "a DataArray has more than " + 3L * rows + " numbers");
                try {
                    // Java reads 1f and 1d too.
                    if (Character.isLetter(text.charAt(at - 1))) throw new NumberFormatException(number);
                    out.putDouble(Double.parseDouble(number));
                } catch (NumberFormatException e) {
                    throw bad(path, InputFiles.quote(number) + " is not a number");
                }
            }
            if (out.hasRemaining()) throw bad(path, "a DataArray has fewer than " + 3L * rows + " numbers");
            return out.array();
        }
    }

    private static Mesh checked(Path path, float[] points, int[] triangles) {
        int n = points.length / 3;
        if (n == 0 || triangles.length == 0)
            throw bad(path, n == 0 ? "it has no vertex" : "it has no triangle, so that it is no surface");
        for (int i = 0; i < points.length; i++)
            if (!Float.isFinite(points[i])) throw bad(path, "vertex " + i / 3 + " has the coordinate " + points[i]);
        for (int i = 0; i < triangles.length; i++)
            if (triangles[i] < 0 || triangles[i] >= n)
                throw bad(path, "triangle " + i / 3 + " names vertex " + triangles[i] + " of " + n);
        return new Mesh(points, triangles);
    }

    private static InputException bad(Path path, String problem) {
        return new InputException(path.toString(), problem, DAMAGED);
    }
}
