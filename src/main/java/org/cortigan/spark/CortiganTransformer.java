// SPDX-License-Identifier: Apache-2.0
package org.cortigan.spark;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.ml.Transformer;
import org.apache.spark.ml.param.BooleanParam;
import org.apache.spark.ml.param.IntParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.param.ParamValidators;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWriter;
import org.apache.spark.ml.util.Identifiable$;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.ml.util.MLWritable;
import org.apache.spark.ml.util.MLWriter;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Model;

/**
 * Predicts the responses to photographs, as a stage of Spark ML. Each executor has one predictor, which its tasks
 * share.
 *
 * <p>The input column has paths (text), which every executor can read, or the bytes of PNG or JPEG files (binary), such
 * as the column {@code content} of Spark's source {@code binaryFile}. As by the command {@code predict}, photographs
 * are turned upright as EXIF or XMP says. The output column is array&lt;float&gt;, [vertices], in measured units, the
 * left hemisphere's first, without vertices that had no responses in training. It is no vector of Spark ML, whose
 * elements are double and would take twice the room: 39,548 vertices are 158 KB a row.
 * {@code functions.array_to_vector} makes one.
 *
 * <p>Equal batch, threads and instruction set give the same bits as {@link org.cortigan.model.Predictor}, however the
 * rows are distributed. A saved stage has the checkpoint in it.
 */
public final class CortiganTransformer extends Transformer implements MLWritable {
    /** Name of the column that the sources of Spark give the path of a file. */
    private static final String PATH = "path";
    /** Folder of the checkpoint in a saved stage. */
    private static final String DATA = "data";

    private final String uid;
    private final Param<String> modelFile;
    private final Param<String> inputCol;
    private final Param<String> outputCol;
    private final Param<String> errorCol;
    private final Param<String> subject;
    private final IntParam batchSize;
    private final Param<String> device;
    private final IntParam threads;
    private final BooleanParam distribute;
    private final Param<String> handleInvalid;

    public CortiganTransformer() {
        this(Identifiable$.MODULE$.randomUID("cortigan"));
    }

    /** @param uid the stage's name in a pipeline */
    public CortiganTransformer(String uid) {
        this.uid = uid; // first, because parameters ask for it
        modelFile = new Param<>(
                this, "modelFile", "checkpoint: a path of the driver, or a URI of a file system that Hadoop knows");
        inputCol =
                new Param<>(this, "inputCol", "column of paths (text) or of the bytes of PNG or JPEG files (binary)");
        outputCol = new Param<>(this, "outputCol", "column for the responses, array<float> [vertices]");
        errorCol = new Param<>(
                this,
                "errorCol",
                "with handleInvalid keep: column for the reason why there are no responses, else null");
        subject = new Param<>(this, "subject", "of a model of several subjects: the one to predict, such as subj01");
        batchSize = new IntParam(this, "batchSize", "photographs that are predicted at once", ParamValidators.gtEq(1));
        device = new Param<>(this, "device", "auto, cpu, cuda or cuda:N");
        threads = new IntParam(
                this, "threads", "CPU threads of an executor's predictor, 0 for all cores", ParamValidators.gtEq(0));
        distribute = new BooleanParam(
                this,
                "distribute",
                "whether the driver gives the checkpoint to the executors; otherwise each reads the path modelFile");
        handleInvalid = new Param<>(
                this,
                "handleInvalid",
                "photographs that cannot be read: error (the job fails), skip (the row is left out) or keep (null)",
                ParamValidators.inArray(names()));
        setDefault(outputCol, uid + "__output");
        setDefault(errorCol, uid + "__error");
        setDefault(subject, "");
        setDefault(batchSize, 32);
        setDefault(device, "auto");
        setDefault(threads, 0);
        setDefault(distribute, true);
        setDefault(handleInvalid, name(PredictPartition.Invalid.ERROR));
    }

    private static List<String> names() {
        return Arrays.stream(PredictPartition.Invalid.values())
                .map(CortiganTransformer::name)
                .toList();
    }

    private static String name(PredictPartition.Invalid i) {
        return i.name().toLowerCase(Locale.ROOT);
    }

    @Override
    public String uid() {
        return uid;
    }

    // Spark finds the parameters by these methods.

    public Param<String> modelFile() {
        return modelFile;
    }

    public Param<String> inputCol() {
        return inputCol;
    }

    public Param<String> outputCol() {
        return outputCol;
    }

    public Param<String> errorCol() {
        return errorCol;
    }

    public Param<String> subject() {
        return subject;
    }

    public IntParam batchSize() {
        return batchSize;
    }

    public Param<String> device() {
        return device;
    }

    public IntParam threads() {
        return threads;
    }

    public BooleanParam distribute() {
        return distribute;
    }

    public Param<String> handleInvalid() {
        return handleInvalid;
    }

    public CortiganTransformer setModelFile(String value) {
        set(modelFile, value);
        return this;
    }

    public CortiganTransformer setInputCol(String value) {
        set(inputCol, value);
        return this;
    }

    public CortiganTransformer setOutputCol(String value) {
        set(outputCol, value);
        return this;
    }

    public CortiganTransformer setErrorCol(String value) {
        set(errorCol, value);
        return this;
    }

    public CortiganTransformer setSubject(String value) {
        set(subject, value);
        return this;
    }

    public CortiganTransformer setBatchSize(int value) {
        set(batchSize, value);
        return this;
    }

    public CortiganTransformer setDevice(String value) {
        set(device, value);
        return this;
    }

    public CortiganTransformer setThreads(int value) {
        set(threads, value);
        return this;
    }

    public CortiganTransformer setDistribute(boolean value) {
        set(distribute, value);
        return this;
    }

    public CortiganTransformer setHandleInvalid(String value) {
        set(handleInvalid, value);
        return this;
    }

    /** @throws InputException if the input column is missing or of another type, or an output column exists */
    @Override
    public StructType transformSchema(StructType schema) {
        input(schema);
        StructType out = with(schema, outputCol, DataTypes.createArrayType(DataTypes.FloatType, false));
        return invalid() == PredictPartition.Invalid.KEEP ? with(out, errorCol, DataTypes.StringType) : out;
    }

    private StructType with(StructType schema, Param<String> column, DataType type) {
        String name = getOrDefault(column);
        if (Arrays.asList(schema.fieldNames()).contains(name))
            throw new InputException(column.name() + " '" + name + "'", "exists already", "Choose another name");
        return schema.add(name, type, invalid() == PredictPartition.Invalid.KEEP);
    }

    /** Index of the input column. */
    private int input(StructType schema) {
        String name = required(inputCol);
        int at = Arrays.asList(schema.fieldNames()).indexOf(name);
        if (at < 0)
            throw new InputException(
                    "inputCol '" + name + "'",
                    "is no column of the data, which have " + Arrays.toString(schema.fieldNames()),
                    "Choose one of them");
        StructField field = schema.fields()[at];
        if (!field.dataType().equals(DataTypes.StringType) && !field.dataType().equals(DataTypes.BinaryType))
            throw new InputException(
                    "inputCol '" + name + "'",
                    "has the type " + field.dataType().simpleString(),
                    "Give paths (string) or the bytes of files (binary)");
        return at;
    }

    private String required(Param<String> p) {
        if (!isDefined(p)) throw new InputException(p.name(), "is not set", "Set it: " + p.doc());
        return getOrDefault(p);
    }

    private PredictPartition.Invalid invalid() {
        return PredictPartition.Invalid.valueOf(getOrDefault(handleInvalid).toUpperCase(Locale.ROOT));
    }

    /**
     * Adds the responses to rows. The checkpoint is read now; photographs when Spark asks for rows.
     *
     * @throws InputException if a column or the checkpoint is wrong, or the model has no such subject
     */
    @Override
    public Dataset<Row> transform(Dataset<?> dataset) {
        StructType schema = dataset.schema(), out = transformSchema(schema);
        SparkContext context = dataset.sparkSession().sparkContext();
        ModelFile model = file(context.hadoopConfiguration());
        Model.load(java.nio.file.Path.of(model.path())).config().subject(getOrDefault(subject));
        List<Broadcast<byte[]>> pieces = (Boolean) getOrDefault(distribute) ? model.broadcast(context) : List.of();
        ExecutorPredictor.Settings settings = new ExecutorPredictor.Settings(
                model, getOrDefault(subject), (Integer) getOrDefault(batchSize), getOrDefault(device), (Integer)
                        getOrDefault(threads));
        int input = input(schema), named = Arrays.asList(schema.fieldNames()).indexOf(PATH);
        return dataset.toDF()
                .mapPartitions(new PredictPartition(settings, pieces, input, named, invalid()), Encoders.row(out));
    }

    private ModelFile file(Configuration hadoop) {
        String path = required(modelFile);
        if (!(Boolean) getOrDefault(distribute) && ModelFile.hasScheme(path) && !ModelFile.isLocal(path))
            throw new InputException(
                    "modelFile '" + path + "'",
                    "is on a file system that executors do not read by path",
                    "Let the driver distribute it (setDistribute(true))");
        return ModelFile.of(ModelFile.local(path, hadoop));
    }

    @Override
    public CortiganTransformer copy(ParamMap extra) {
        return this.<CortiganTransformer>defaultCopy(extra);
    }

    /** Writes the parameters and the checkpoint. */
    @Override
    public MLWriter write() {
        return new Writer(this);
    }

    /** Reads a saved stage. */
    public static MLReader<CortiganTransformer> read() {
        return new Reader();
    }

    /** {@link #read} from a folder. */
    public static CortiganTransformer load(String path) {
        return read().load(path);
    }

    private static final class Writer extends MLWriter {
        private final CortiganTransformer stage;

        Writer(CortiganTransformer stage) {
            this.stage = stage;
        }

        /** Overwriting a stage deletes its checkpoint first. */
        @Override
        public void save(String path) throws IOException {
            String own = stage.required(stage.modelFile);
            String from = ModelFile.hasScheme(own)
                    ? own
                    : "file:" + InputFiles.path(own).toAbsolutePath();
            if (from.startsWith(qualified(path, sc()) + "/"))
                throw new InputException(path, "has the checkpoint of the stage in it", "Save to another folder");
            super.save(path);
        }

        @Override
        public void saveImpl(String path) {
            Configuration hadoop = sc().hadoopConfiguration();
            ModelFile file = stage.file(hadoop);
            CortiganTransformer saved =
                    stage.copy(new ParamMap()).setModelFile(file.in(DATA).toString());
            new DefaultParamsWriter(saved).session(sparkSession()).saveImpl(path);
            file.save(path + "/" + DATA, hadoop);
        }
    }

    private static final class Reader extends MLReader<CortiganTransformer> {
        @Override
        public CortiganTransformer load(String path) {
            DefaultParamsReader<CortiganTransformer> parameters = new DefaultParamsReader<>();
            parameters.session(sparkSession());
            CortiganTransformer stage = parameters.load(path);
            return stage.setModelFile(qualified(path, sc()) + "/" + stage.getOrDefault(stage.modelFile));
        }
    }

    /** A path with its file system, which is Hadoop's default one if it names none. */
    private static String qualified(String path, SparkContext context) {
        try {
            Path p = new Path(path);
            return p.getFileSystem(context.hadoopConfiguration())
                    .makeQualified(p)
                    .toString();
        } catch (IOException e) {
            throw new InputException(path, "is on no file system: " + e.getMessage(), "Choose another folder", e);
        }
    }
}
