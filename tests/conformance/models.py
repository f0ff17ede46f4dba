"""Writes the models that the recorded answers were given by: python models.py FOLDER (TensorFlow 2.19)."""

import os
import shutil
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras
import numpy as np
import tensorflow as tf

R = sys.argv[1]
os.makedirs(R, exist_ok=True)


def lin(w, b, path):
    keras.utils.clear_session()
    shutil.rmtree(path, ignore_errors=True)
    m = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    m.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    x = np.linspace(-1, 1, 64).reshape(-1, 1).astype("f")
    y = w * x + b
    m.fit(x, y, epochs=60, verbose=0, batch_size=16)
    m.layers[-1].set_weights([np.array([[w]], "f"), np.array([b], "f")])
    m.export(path, verbose=False)


lin(2.0, 1.0, R + "/linear_regression_model/1")
lin(3.0, -0.5, R + "/linear_regression_model/2")


class M(tf.Module):
    pass


def S(shp, dt=tf.float32, name=None):
    return tf.TensorSpec(shp, dt, name=name)


def save(name, sigs, ver=1):
    m = M()
    m.v = tf.Variable(1.0)
    d = {}
    for k, (fn, specs) in sigs.items():
        f = tf.function(fn, input_signature=specs)
        setattr(m, "f_" + k, f)
        d[k] = f.get_concrete_function()
    tf.saved_model.save(m, f"{R}/{name}/{ver}", signatures=d)


save(
    "multi",
    {
        "serving_default": (
            lambda a, b: {
                "sum": tf.reduce_sum(a, 1) + tf.reduce_sum(b, 1),
                "a2": a * 2.0,
                "b_str": tf.strings.as_string(b),
            },
            [S([None, 2], name="a"), S([None, 3], name="b")],
        ),
        "one_out": (lambda a: {"only": a + 1.0}, [S([None, 2], name="a")]),
    },
)
save(
    "dtypes",
    {
        "serving_default": (lambda x: {"y": x + 1.0}, [S([None], name="x")]),
        "f64": (lambda x: {"y": x + tf.constant(1.0, tf.float64)}, [S([None], tf.float64, name="x")]),
        "i32": (lambda x: {"y": x + 1}, [S([None], tf.int32, name="x")]),
        "i64": (lambda x: {"y": x + tf.constant(1, tf.int64)}, [S([None], tf.int64, name="x")]),
        "u8": (lambda x: {"y": tf.identity(x)}, [S([None], tf.uint8, name="x")]),
        "i8": (lambda x: {"y": tf.identity(x)}, [S([None], tf.int8, name="x")]),
        "i16": (lambda x: {"y": tf.identity(x)}, [S([None], tf.int16, name="x")]),
        "u16": (lambda x: {"y": tf.identity(x)}, [S([None], tf.uint16, name="x")]),
        "u32": (lambda x: {"y": tf.identity(x)}, [S([None], tf.uint32, name="x")]),
        "u64": (lambda x: {"y": tf.identity(x)}, [S([None], tf.uint64, name="x")]),
        "b": (lambda x: {"y": tf.logical_not(x)}, [S([None], tf.bool, name="x")]),
        "s": (lambda x: {"y": tf.identity(x)}, [S([None], tf.string, name="x")]),
        "s_bytes_out": (lambda x: {"y_bytes": tf.identity(x)}, [S([None], tf.string, name="x_bytes")]),
        "s_two": (lambda x: {"y_bytes": tf.identity(x), "len": tf.strings.length(x)}, [S([None], tf.string, name="x")]),
        "f16": (lambda x: {"y": tf.identity(x)}, [S([None], tf.float16, name="x")]),
        "bf16": (lambda x: {"y": tf.identity(x)}, [S([None], tf.bfloat16, name="x")]),
        "c64": (lambda x: {"y": tf.cast(tf.complex(x, x), tf.complex64)}, [S([None], name="x")]),
        "f_in_i_out": (lambda x: {"y": tf.cast(x, tf.int64)}, [S([None], name="x")]),
    },
)
save(
    "shapes",
    {
        "serving_default": (lambda x: {"y": x * 2.0}, [S([None, 2], name="x")]),
        "fixed": (lambda x: {"y": x * 2.0}, [S([3, 2], name="x")]),
        "unknown_rank": (lambda x: {"y": x * 2.0}, [S(None, name="x")]),
        "scalar_in": (lambda x: {"y": x * 2.0}, [S([], name="x")]),
        "scalar_out": (lambda x: {"y": tf.reduce_sum(x)}, [S([None], name="x")]),
        "scalar_two_out": (lambda x: {"s": tf.reduce_sum(x), "y": x}, [S([None], name="x")]),
        "mismatch": (lambda x: {"y": x, "z": tf.concat([x, x], 0)}, [S([None], name="x")]),
        "mismatch_single": (lambda x: {"z": tf.concat([x, x], 0)}, [S([None], name="x")]),
        "rank3": (lambda x: {"y": x}, [S([None, None, None], name="x")]),
        "empty_out": (lambda x: {"y": x[:0]}, [S([None], name="x")]),
        "matmul": (lambda x: {"y": tf.matmul(x, tf.ones([3, 1]))}, [S([None, None], name="x")]),
    },
)
save(
    "nan",
    {
        "serving_default": (lambda x: {"y": tf.math.log(x)}, [S([None], name="x")]),
        "inv": (lambda x: {"y": 1.0 / x}, [S([None], name="x")]),
        "floats": (lambda x: {"y": x / 3.0}, [S([None], name="x")]),
        "floats64": (lambda x: {"y": x / tf.constant(3.0, tf.float64)}, [S([None], tf.float64, name="x")]),
        "ident": (lambda x: {"y": tf.identity(x)}, [S([None], name="x")]),
    },
)


def slow(n):
    i = tf.constant(0)
    a = tf.random.normal([400, 400])

    def body(i, a):
        return i + 1, tf.math.tanh(tf.matmul(a, a))

    k = tf.cast(n[0] * 100.0, tf.int32)
    _, a = tf.while_loop(lambda i, a: i < k, body, [i, a])
    return {"y": n + 0.0 * tf.reduce_mean(a)}


save("slow", {"serving_default": (slow, [S([None], name="n")])})
save(
    "errs",
    {
        "serving_default": (
            lambda x: {"y": tf.debugging.assert_less(x, 10.0, message="too big") or x},
            [S([None], name="x")],
        )
        if False
        else (lambda x: {"y": tf.gather(tf.constant([1.0, 2.0, 3.0]), x)}, [S([None], tf.int32, name="x")])
    },
)
# perf models
m = keras.Sequential(
    [
        keras.layers.Input((784,)),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
m.export(R + "/mlp/1", verbose=False)
m = keras.Sequential(
    [
        keras.layers.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
m.export(R + "/cnn/1", verbose=False)


# no-signature model
class E(tf.Module):
    @tf.function(input_signature=[S([None])])
    def __call__(self, x):
        return x


tf.saved_model.save(E(), R + "/nosig/1")
# TF1-style classify/regress
t1 = tf.compat.v1


def halfplus(path):
    g = tf.Graph()
    with g.as_default(), t1.Session(graph=g) as s:
        ser = t1.placeholder(tf.string, name="tf_example", shape=[None])
        fc = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        ex = tf.io.parse_example(ser, fc)
        x = tf.identity(ex["x"], name="x")
        a = t1.get_variable("a", initializer=0.5)
        b = t1.get_variable("b", initializer=2.0)
        y = tf.identity(a * x + b, name="y")
        y3 = tf.identity(a * ex["x2"] + 3.0, name="y3")
        classes = tf.identity(tf.tile(tf.constant([["neg", "pos"]]), [tf.shape(x)[0], 1]), name="classes")
        scores = tf.identity(tf.concat([1.0 - tf.sigmoid(x), tf.sigmoid(x)], 1), name="scores")
        s.run(t1.global_variables_initializer())
        bt = t1.saved_model.utils.build_tensor_info
        bs = t1.saved_model.signature_def_utils.build_signature_def
        CL = "tensorflow/serving/classify"
        RG = "tensorflow/serving/regress"
        PR = "tensorflow/serving/predict"
        sd = {
            "serving_default": bs({"x": bt(x)}, {"y": bt(y)}, PR),
            "predict_examples": bs({"inputs": bt(ser)}, {"outputs": bt(y)}, PR),
            "classify": bs({"inputs": bt(ser)}, {"classes": bt(classes), "scores": bt(scores)}, CL),
            "classify_scores_only": bs({"inputs": bt(ser)}, {"scores": bt(scores)}, CL),
            "classify_classes_only": bs({"inputs": bt(ser)}, {"classes": bt(classes)}, CL),
            "regress": bs({"inputs": bt(ser)}, {"outputs": bt(y)}, RG),
            "regress_y3": bs({"inputs": bt(ser)}, {"outputs": bt(y3)}, RG),
        }
        bld = t1.saved_model.builder.SavedModelBuilder(path)
        bld.add_meta_graph_and_variables(s, ["serve"], signature_def_map=sd)
        bld.save()


shutil.rmtree(R + "/examples", ignore_errors=True)
halfplus(R + "/examples/1")


# default classify
def defclassify(path, method, outs):
    g = tf.Graph()
    with g.as_default(), t1.Session(graph=g) as s:
        ser = t1.placeholder(tf.string, name="tf_example", shape=[None])
        ex = tf.io.parse_example(
            ser,
            {
                "x": tf.io.FixedLenFeature([1], tf.float32),
                "s": tf.io.FixedLenFeature([], tf.string, default_value=""),
                "i": tf.io.FixedLenFeature([1], tf.int64, default_value=[0]),
            },
        )
        x = ex["x"]
        t = {
            "classes": tf.tile(tf.constant([["a", "b", "c"]]), [tf.shape(x)[0], 1]),
            "scores": tf.concat([x, x * 2.0, tf.cast(ex["i"], tf.float32)], 1),
            "outputs": x * 0.5 + 2.0,
        }
        t1.get_variable("v", initializer=0.0)
        s.run(t1.global_variables_initializer())
        bt = t1.saved_model.utils.build_tensor_info
        sd = {
            "serving_default": t1.saved_model.signature_def_utils.build_signature_def(
                {"inputs": bt(ser)}, {k: bt(t[k]) for k in outs}, method
            )
        }
        bld = t1.saved_model.builder.SavedModelBuilder(path)
        bld.add_meta_graph_and_variables(s, ["serve"], signature_def_map=sd)
        bld.save()


for n, mm, o in [
    ("clf", "tensorflow/serving/classify", ["classes", "scores"]),
    ("reg", "tensorflow/serving/regress", ["outputs"]),
]:
    shutil.rmtree(f"{R}/{n}", ignore_errors=True)
    defclassify(f"{R}/{n}/1", mm, o)
print("DONE")
