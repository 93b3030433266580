// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.MissingResourceException;
import java.util.function.Predicate;
import java.util.stream.Stream;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPInputStream;
import java.util.zip.InflaterInputStream;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;
import org.cortigan.InputException;

/**
 * The data arrays of a GIFTI file: a surface's points and triangles, or values of its vertices (.func.gii, .shape.gii,
 * .label.gii). Source: GIFTI 1.0 (nitrc.org/projects/gifti); names that only nibabel reads are accepted too.
 */
public final class GiftiFile {
    /** Largest file, packed or not. */
    public static final int MAX_BYTES = 1 << 28;

    /** Intents of a surface's arrays. */
    public static final String POINTS = "NIFTI_INTENT_POINTSET", TRIANGLES = "NIFTI_INTENT_TRIANGLE";

    /** What to do about a damaged file. */
    public static final String DAMAGED = "The file is damaged; copy it again or convert it again from its source";

    private static final int MAX_ROWS = 1 << 24, MAX_ELEMENTS = 3 * MAX_ROWS;
    /** Real meshes compress at most 10:1, because coordinates are noisy. A higher ratio than this is an attack. */
    private static final int MAX_EXPANSION = 100;

    private GiftiFile() {}

    /** The bytes of a file without the compression of gzip, if it has one; {@code path} only names it in messages. */
    public static byte[] unpack(Path path, byte[] file) {
        if (file.length < 3 || (file[0] & 255) != 0x1f || (file[1] & 255) != 0x8b) return file;
        int max = (int) Math.min(MAX_BYTES, (1 << 16) + (long) MAX_EXPANSION * file.length);
        byte[] plain;
        try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(file))) {
            plain = in.readNBytes(max + 1);
        } catch (IOException e) {
            throw bad(path, "the gzip stream is broken: " + InputFiles.reason(e));
        }
        if (plain.length > max) throw bad(path, "it unpacks to more than " + max + " bytes");
        return plain;
    }

    /** Whether an unpacked file begins as XML does. */
    public static boolean isXml(byte[] file) {
        int start = start(file);
        return start < file.length && file[start] == '<';
    }

    private static int start(byte[] file) {
        int start = 0;
        while (start < file.length && " \t\r\n\u00ef\u00bb\u00bf".indexOf(file[start] & 255) >= 0) start++;
        return start;
    }

    /**
     * Reads the data arrays of some intents; others are passed over.
     *
     * @param path names the file in messages
     * @param file unpacked
     * @throws InputException if the file is damaged, or has a form of data that is not supported
     */
    public static List<DataArray> parse(Path path, byte[] file, Predicate<String> intents) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false); // GIFTI files refer to a DTD on the web.
        factory.setProperty(XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES, false);
        int start = start(file);
        List<DataArray> arrays = new ArrayList<>();
        try {
            XMLStreamReader xml = factory.createXMLStreamReader(new InputStreamReader(
                    new ByteArrayInputStream(file, start, file.length - start), StandardCharsets.UTF_8));
            try {
                DataArray array = null;
                boolean root = false;
                while (xml.hasNext()) {
                    if (xml.next() != XMLStreamConstants.START_ELEMENT) continue;
                    String name = xml.getLocalName();
                    if (!root && !name.equals("GIFTI"))
                        throw bad(path, "its root element is " + InputFiles.quote(name) + ", not GIFTI");
                    root = true;
                    if (name.equals("DataArray")) {
                        array = intents.test(DataArray.attribute(path, xml, "Intent"))
                                ? new DataArray(path, xml)
                                : null;
                    } else if (name.equals("Data") && array != null) {
                        array.decode(text(xml));
                        arrays.add(array);
                        array = null;
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
        return arrays;
    }

    /**
     * Reads the columns of values of a surface's vertices: all arrays but points and triangles, in the order of the
     * file.
     *
     * @param path names the file in messages
     * @param file packed or not
     * @return [columns][vertices]
     * @throws InputException if the file is no GIFTI file, is damaged, or has no values
     */
    public static float[][] values(Path path, byte[] file) {
        byte[] plain = unpack(path, file);
        if (!isXml(plain))
            throw FileKind.refusal(
                    path, plain, "GIFTI file", "Give values of vertices such as .func.gii or .shape.gii");
        List<float[]> columns = new ArrayList<>();
        for (DataArray a : parse(path, plain, intent -> !intent.equals(POINTS) && !intent.equals(TRIANGLES))) {
            float[] all = a.floats();
            for (int c = 0; c < a.columns; c++) {
                float[] column = new float[a.rows];
                for (int v = 0; v < a.rows; v++) column[v] = all[v * a.columns + c];
                columns.add(column);
            }
        }
        if (columns.isEmpty())
            throw new InputException(
                    path.toString(),
                    "has no values of vertices",
                    "Give values on a surface (.func.gii, .shape.gii), not a surface");
        return columns.toArray(float[][]::new);
    }

    /**
     * A .func.gii file of one hemisphere: float32, little-endian, GZipBase64Binary, intent NIFTI_INTENT_NONE, which
     * nibabel, FreeSurfer and Connectome Workbench read.
     *
     * @param left or else right; the metadata AnatomicalStructurePrimary say so
     * @param names of the columns
     * @param columns [columns][vertices]
     */
    public static byte[] functional(boolean left, List<String> names, float[]... columns) {
        StringBuilder xml = new StringBuilder();
        xml.append("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
                .append("<!DOCTYPE GIFTI SYSTEM \"http://www.nitrc.org/frs/download.php/115/gifti.dtd\">\n")
                .append("<GIFTI Version=\"1.0\" NumberOfDataArrays=\"" + columns.length + "\">\n");
        metadata(xml, "AnatomicalStructurePrimary", left ? "CortexLeft" : "CortexRight");
        xml.append("<LabelTable/>\n");
        for (int c = 0; c < columns.length; c++) {
            xml.append("<DataArray Intent=\"NIFTI_INTENT_NONE\" DataType=\"NIFTI_TYPE_FLOAT32\""
                    + " ArrayIndexingOrder=\"RowMajorOrder\" Dimensionality=\"1\" Dim0=\"" + columns[c].length
                    + "\" Encoding=\"GZipBase64Binary\" Endian=\"LittleEndian\" ExternalFileName=\"\""
                    + " ExternalFileOffset=\"\">\n");
            metadata(xml, "Name", names.get(c));
            xml.append("<Data>").append(packed(columns[c])).append("</Data>\n</DataArray>\n");
        }
        return xml.append("</GIFTI>\n").toString().getBytes(StandardCharsets.UTF_8);
    }

    private static void metadata(StringBuilder xml, String name, String value) {
        // XML has no characters for most controls.
        String text = InputException.oneLine(value).replace("]]>", "]] >");
        xml.append("<MetaData><MD><Name><![CDATA[" + name + "]]></Name><Value><![CDATA[" + text
                + "]]></Value></MD></MetaData>\n");
    }

    private static String packed(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (OutputStream z = new DeflaterOutputStream(out)) { // zlib, as GIFTI means by GZip
            z.write(bytes.array());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return Base64.getEncoder().encodeToString(out.toByteArray());
    }

    /**
     * The hemisphere that a file's metadata name as AnatomicalStructurePrimary.
     *
     * @return 0 left, 1 right, -1 neither or none
     */
    public static int hemisphere(Path path, byte[] file) {
        String text = new String(unpack(path, file), StandardCharsets.UTF_8);
        int at = text.indexOf("AnatomicalStructurePrimary");
        if (at < 0) return -1;
        int value = text.indexOf("<Value>", at), end = text.indexOf("</MD>", at);
        if (value < 0 || end < value) return -1;
        String structure = text.substring(value, end);
        return structure.contains("CortexLeft") ? 0 : structure.contains("CortexRight") ? 1 : -1;
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

    /** One array: [rows][columns], row by row. */
    public static final class DataArray {
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

        private final Path path;
        private final String intent;
        private final ElementType type;
        private final int rows, columns, encoding;
        private final boolean columnMajor;
        private final ByteOrder order;
        private ByteBuffer data = ByteBuffer.allocate(0);

        /** Reads the attributes; {@link #decode} follows. */
        private DataArray(Path path, XMLStreamReader xml) {
            this.path = path;
            intent = attribute(path, xml, "Intent");
            boolean surface = intent.equals(POINTS) || intent.equals(TRIANGLES);
            int kinds = ElementType.values().length;
            ElementType named = ElementType.values()[one(path, xml, "DataType", kinds, ElementType.NAMES)];
            int dimensions = dimension(path, xml, "Dimensionality", surface ? 2 : 1, 2);
            columns = dimensions == 1 ? 1 : dimension(path, xml, "Dim1", surface ? 3 : 1, surface ? 3 : MAX_ROWS);
            rows = dimension(path, xml, "Dim0", 0, MAX_ROWS);
            if ((long) rows * columns > MAX_ELEMENTS)
                throw bad(path, "a DataArray of " + rows + " x " + columns + " elements is too large");
            columnMajor = one(path, xml, "ArrayIndexingOrder", 2, ORDERS) == 1;
            encoding = one(path, xml, "Encoding", 3, ENCODINGS);
            // ASCII data have no byte order and no size: ascii() writes doubles, big-endian.
            type = encoding == ASCII ? ElementType.FLOAT64 : named;
            boolean little = encoding != ASCII && one(path, xml, "Endian", 2, ENDIANS) == 1;
            order = little ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        }

        /** What the elements mean, such as NIFTI_INTENT_SHAPE. */
        public String intent() {
            return intent;
        }

        /** Number of elements. */
        public int elements() {
            return rows * columns;
        }

        /** An element, row by row; an integer beyond 2^53 is rounded. */
        public double number(int i) {
            int at = columnMajor ? i % columns * rows + i / columns : i;
            return type.number(data, at * type.bytes);
        }

        /** All elements, rounded to float. */
        public float[] floats() {
            float[] out = new float[elements()];
            for (int i = 0; i < out.length; i++) out[i] = (float) number(i);
            return out;
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
                        "Write the file with " + name + " "
                                + String.join(" or ", Arrays.copyOf(known, Math.min(values, 4))));
            return i % values;
        }

        private void decode(String text) {
            data = ByteBuffer.wrap(encoding == ASCII ? ascii(text) : base64(text))
                    .order(order);
        }

        private byte[] base64(String text) {
            int bytes = Math.multiplyExact(type.bytes, elements());
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
            if (text.length() < 2L * elements() - 1)
                throw bad(path, "a DataArray has fewer than " + elements() + " numbers"); // At least "1 " each.
            ByteBuffer out = ByteBuffer.allocate(type.bytes * elements());
            int at = 0;
            while (true) {
                while (at < text.length() && text.charAt(at) <= ' ') at++;
                if (at == text.length()) break;
                int from = at;
                while (at < text.length() && text.charAt(at) > ' ') at++;
                String number = text.substring(from, at);
                if (!out.hasRemaining()) throw bad(path, "a DataArray has more than " + elements() + " numbers");
                try {
                    boolean nan = number.equalsIgnoreCase("nan");
                    // Java reads 1f and 1d too.
                    if (!nan && Character.isLetter(text.charAt(at - 1))) throw new NumberFormatException(number);
                    out.putDouble(nan ? Double.NaN : Double.parseDouble(number));
                } catch (NumberFormatException e) {
                    throw bad(path, InputFiles.quote(number) + " is not a number");
                }
            }
            if (out.hasRemaining()) throw bad(path, "a DataArray has fewer than " + elements() + " numbers");
            return out.array();
        }
    }

    private static InputException bad(Path path, String problem) {
        return new InputException(path.toString(), problem, DAMAGED);
    }
}
