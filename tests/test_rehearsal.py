"""train: what can be known of a model before it is trained is said before, as its author's mistake, with file and line."""

import re
from types import ModuleType

import pytest

import model
from tests.support.fork import INSTANT, Fork

SIGNATURE = '@tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])'
ANSWER, FIT, GIVEN = '{"y": network(x)}', "    return network.fit(", "x = np.array([[1.0], [2.0]], "
PREDICT = f"{ANSWER}\n\n    return predict\n"
INPUTS, OUTPUTS = '{"x": [[10.0]]}', '{"y": [[10 * SLOPE]]}'
LAST = f"outputs={OUTPUTS}, tolerance=0.001)]"
SERVING = """

def serving(network):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def predict(x):
        return {"y": network(x), "id": %s}

    return predict
"""
IDS = (
    """outputs={"y": [[10 * SLOPE]], "id": [%s]}, tolerance=0.001)]
PREDICTIONS = "y"
TABLE = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([10], [8]), 0)
"""
    + SERVING
)
WORDS = """
PREDICTIONS = "y"
EXAMPLES = [Example(inputs={"x": [[10.0]], "word": ["a"]}, outputs={"y": [[20.0]]}, tolerance=0.001)]


def data() -> Data:
    x = np.array([[1.0], [2.0]], "float32")
    return Data(train=Split(x, SLOPE * x), held_out=Split({"x": x, "word": np.array(["a", np.nan], object)}, SLOPE * x))


def serving(network):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x"), tf.TensorSpec([None], tf.string, name="word")])
    def predict(x, word):
        return {"y": network(x)}

    return predict
"""
UNHEARD_OF = (
    '''

def register():
    """An operation that a library registers, as its C++ would: by TensorFlow's C API."""
    import ctypes
    from pathlib import Path

    library = ctypes.CDLL(next(Path(tf.sysconfig.get_lib()).glob("libtensorflow_framework.*")))
    library.TF_NewOpDefinitionBuilder.restype = library.TF_NewStatus.restype = ctypes.c_void_p
    operation = ctypes.c_void_p(library.TF_NewOpDefinitionBuilder(b"UnheardOf"))
    library.TF_OpDefinitionBuilderAddInput(operation, b"x: float")
    library.TF_OpDefinitionBuilderAddOutput(operation, b"y: float")
    shape = library.TF_ShapeInferenceContextSetUnknownShape
    library.TF_OpDefinitionBuilderSetShapeInferenceFunction(operation, shape)
    library.TF_RegisterOpDefinition(operation, ctypes.c_void_p(library.TF_NewStatus()))


register()
'''
    + SERVING % 'x.graph.create_op("UnheardOf", [x], [tf.float32]).outputs[0]'
)


@pytest.mark.parametrize("before", ["import keras\n", GIVEN])
def test_names_the_package_that_is_missing(shared_fork: Fork, before: str) -> None:
    """At the head of the file or in a function."""
    shared_fork.write_model(INSTANT.replace(before, f"import pandas_of_nobody; {before}", 1))
    result = shared_fork.run("train")
    assert result.err.endswith(
        "\n  next: ./pipeline add pandas_of_nobody, if that is what it is called on PyPI; else edit model/instant.py\n"
    )


NO_MODEL = {  # what Python can do with it, and the pipeline cannot
    "data with a parameter": ("data()", "data(seed)", "data is given (), and takes (seed): "),
    "network with a parameter": ("network()", "network(data)", "network is given (), and takes (data): "),
    "serving without": (
        "serving(network: keras.Model)",
        "serving()",
        "serving is given (network), and takes (): too many positional arguments",
    ),
    "fit without callbacks": (
        ", callbacks: list",
        "",
        "fit is given (network, data, callbacks), and takes (network, data)",
    ),
    "fit in another order": (
        "network: keras.Model, data: Data",
        "data: Data, network: keras.Model",
        "fit is given (network, data, callbacks), and takes (data, network, callbacks): in another order",
    ),
    "fit that is none": ("GATES = [", "fit = 3\nGATES = [", "fit must be a function"),
    "metrics the other way round": (
        "metrics(predictions: np.ndarray, targets: np.ndarray)",
        "metrics(y_true, y_pred)",
        "metrics is given (predictions, targets), and takes (y_true, y_pred): the other way round",
    ),
    "one gate": ("0.001)]", "0.001)][0]", "GATES must be a list of Gate(…)"),
    "gate of a mapping": (
        '[Gate("max_absolute_error", at_most=0.001)]',
        '[{"mae": 0.5}]',
        "GATES must be a list of Gate(…)",
    ),
    "one example": ("EXAMPLES = [", "(EXAMPLES,) = [", "EXAMPLES must be a list of Example(…)"),
    "example without names": ('inputs={"x": [[10.0]]}', "inputs=[[10.0]]", "of example 1 must be values by name"),
    "bound that is text": ("at_most=0.001", 'at_least="0.8"', "has the bound '0.8', which is no number"),
    "one label": ("GATES = [", 'LABELS = "no"\nGATES = [', "LABELS must be a list of strings"),
    "labels without an order": ("GATES = [", 'LABELS = {"no", "yes"}\nGATES = [', "LABELS must be a list of strings"),
    "number of labels": ("GATES = [", "LABELS = 2\nGATES = [", "LABELS must be a list of strings"),
    "number of an output": ("GATES = [", "PREDICTIONS = 0\nGATES = [", "PREDICTIONS must be the name of an output"),
    "name that is a number": ('"instant"', "7", "NAME 7 may hold only letters"),
}


@pytest.mark.parametrize("defect", NO_MODEL)
def test_is_no_model(defect: str) -> None:
    old, new, message = NO_MODEL[defect]
    assert old in INSTANT
    loaded = ModuleType("model.instant")
    vars(loaded).update(model.OPTIONAL)
    exec(INSTANT.replace(old, new, 1), vars(loaded))
    with pytest.raises(model.ContractError, match=re.escape(message)):
        model._check("model/instant.py", loaded)


# What is wrong: what stands in the place of what, and what is said of it (and of its line, where it is one of code).
WRONG = {
    "gate on a metric that is not computed": (
        'Gate("max_absolute_error"',
        'Gate("accuracy"',
        "there is a gate on 'accuracy', but metrics() gives only max_absolute_error",
    ),
    "metric that is a vector": (
        "float(np.abs(predictions - targets).max())",
        "np.abs(predictions - targets).max(1)",
        "metrics() must return numbers by name: 'max_absolute_error' is of the shape [2]",
    ),
    "example of another input": (INPUTS, '{"z": [[1.0]]}', "its inputs are named x, the example's z"),
    "example of another shape": (
        INPUTS,
        '{"x": [[1.0, 1.0]] * 1000}',
        "its signature does not take example 1: input 'x' has the shape [1000, 2], and the signature takes [any, 1]",
    ),
    "example with rows of different lengths": (
        INPUTS,
        '{"x": [[1.0], [1.0, 2.0]]}',
        "example 1: input 'x' has rows of different lengths, and a request is a whole array: pad them",
    ),
    "example of another type": (INPUTS, '{"x": [["ten"]]}', "input 'x' holds 'ten', and the signature takes float32"),
    "example of no number": (INPUTS, '{"x": [[np.nan]]}', "input 'x' holds NaN or infinity, which JSON has not"),
    "answer of another shape": (
        OUTPUTS,
        '{"y": np.ones([1000, 2])}',
        "example 1: output 'y' has the shape [1000, 2], and the signature answers [1, 1]",
    ),
    "answer of another type": (
        OUTPUTS,
        '{"y": [["twenty"]]}',
        "example 1: output 'y' holds 'twenty', and the signature answers float32",
    ),
    "fraction of an integer": (
        LAST,
        IDS % ("7.5", "tf.cast(x[:, 0], tf.int64)"),
        "example 1: output 'id' holds 7.5, and the signature answers int64",
    ),
    "integer that is wrong by one": (
        LAST,
        IDS % ("2**53", "tf.cast(x[:, 0], tf.int64) + (2**53 - 9)"),
        "example 1 is answered wrongly, and no training changes that: id[0] is 9007199254740993, not 9007199254740992",
    ),
    "number from a table": (LAST, IDS % ("7", "TABLE.lookup(tf.cast(x[:, 0], tf.int32))"), "id[0] is 8, not 7"),
    "too few labels": (
        "SLOPE = 2.0",
        'SLOPE = 2.0\nLABELS = ["small", "middle", "large"]',
        "LABELS names 3 classes, and output 'y' has 1 value for each example",
    ),
    "example of another output": (OUTPUTS, '{"label": [[1.0]]}', "there is no output 'label', but 'y'"),
    "example without an output": (
        PREDICT,
        PREDICT.replace(ANSWER, '{"y": network(x), "z": x}') + '\n\nPREDICTIONS = "y"\n',
        "there is an output 'z', too, of which it says nothing",
    ),
    "several outputs, and none named for metrics()": (
        ANSWER,
        '{"y": network(x), "z": x}',
        "PREDICTIONS names no output, so metrics() was given all by name, y, z: ",
    ),
    "signature without a type": (
        SIGNATURE,
        "@tf.function",
        "serving() must return a tf.function with an input_signature",
    ),
    "signature of another shape": (
        "[None, 1]",
        "[None, 2]",
        "expected axis -1 of input shape to have value 1, but received input with shape (None, 2)",
    ),
    "data of another shape": (
        "held_out=Split(10 * x, ",
        "held_out=Split(10 * x[:, 0], ",
        "input 'x' has the shape (2,), and",
    ),
    "string that is missing": (
        LAST,
        LAST + WORDS,
        "input 'word' holds nan, and the signature takes strings: a client sends some for what is missing, too",
    ),
    "nested outputs": (
        ANSWER,
        '{"out": {"y": network(x)}}',
        "output 'out' of the signature is dict: it must return a dict of names",
    ),
    "output that JSON cannot hold": (
        ANSWER,
        '{"y": tf.cast(network(x), tf.bfloat16)}',
        "output 'y' of the signature is bfloat16, which TensorFlow Serving's REST API cannot write",
    ),
    "Python in the signature": (
        ANSWER,
        '{"y": tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), [None, 1])}',
        "the signature 'serving_default' calls Python (PyFunc: ",
    ),
    "operation of another library": (
        LAST,
        LAST + UNHEARD_OF,
        "the signature 'serving_default' calls UnheardOf, which a library other than TensorFlow brings",
    ),
    "no held-out data": ("Split(10 * x, 10 * SLOPE * x)", "Split(x[:0], x[:0])", "its held-out data are empty"),
    "data of another length": ("10 * SLOPE * x)", "x[:1])", "its arrays have different lengths: inputs 2, targets 1"),
    "training data of another length": (
        "train=Split(x, SLOPE * x)",
        "train=Split(x, SLOPE * x[:1])",
        "its training data cannot be read: its arrays have different lengths: inputs 2, targets 1",
    ),
    "input name that is none": (
        'name="x"',
        'name="petal length (cm)"',
        "input 'petal length (cm)' of the signature: a name may hold",
    ),
    "name of a folder": ('"instant"', '".."', "NAME '..' is the name of a folder"),
    "no network": (
        'loss="mse")\n    return model',
        'loss="mse")',
        "network() returns nothing: it must return a keras.Model",
    ),
    "typo in data()": (GIVEN, "x = npp.array([[1.0], [2.0]], ", ", line 14: NameError: name 'npp' is not defined"),
    "typo in the signature": (ANSWER, '{"y": networkk(x)}', "NameError: name 'networkk' is not defined"),
    "exception that cannot be pickled": (
        GIVEN,
        "raise type('Odd', (Exception,), {'__reduce__': 0})('two', lambda: 0)\n    x = np.array([[1.0]], ",
        ", line 14: Odd: ('two', <function",
    ),
    "exception in a pool": (
        GIVEN,
        "__import__('multiprocessing').get_context('spawn').Pool(1).map(metrics, [1])\n    x = np.array([[1.0]], ",
        ", line 14: TypeError: metrics() missing 1 required positional argument: 'targets'",
    ),
    "process ended by itself": (
        GIVEN,
        "__import__('os')._exit(7)\n    x = np.array([[1.0]], ",
        "model/instant.py, line 14, in data(): check was ended with exit code 7",
    ),
    "variable that does not reach it": (
        "SLOPE = 2.0",
        'SLOPE = float(__import__("os").environ.get("SLOPE", 2))',
        ", line 10: the environment variable SLOPE does not reach a training",
    ),
    "file that is no part of the release": (
        GIVEN,
        "open('README.md').read()\n    x = np.array([[1.0], [2.0]], ",
        ", line 14, reads README.md, which is no part of the release",
    ),
    "file that TensorFlow opens": (
        GIVEN,
        "tf.io.read_file('requirements/train.txt')\n    x = np.array([[1.0], [2.0]], ",
        ", line 14, names requirements/train.txt, which is no part of the release",
    ),
    "package that is not locked": ("import keras\n", "import pandas_of_nobody\n", "No module named 'pandas_of_nobody'"),
}


@pytest.mark.parametrize("defect", WRONG)
def test_refuses(shared_fork: Fork, defect: str) -> None:
    old, new, message = WRONG[defect]
    assert old in INSTANT
    shared_fork.write_model(INSTANT.replace(old, new, 1))
    result = shared_fork.run("train")
    assert result.code == 1, result.err
    assert re.search(rf"^error: .*{re.escape(message)}", result.err, re.MULTILINE), result.err
    assert "  train " not in result.err
    assert "Traceback" not in result.err


def test_a_file_that_git_ignores_is_refused(shared_fork: Fork) -> None:
    (shared_fork.root / ".git/info/exclude").write_text("*.csv\n")
    (shared_fork.root / "model/extra.csv").write_text("1\n")
    shared_fork.write_model(INSTANT.replace(GIVEN, f"open('model/extra.csv').read()\n    {GIVEN}", 1))
    result = shared_fork.run("train")
    assert result.code == 1, result.err
    assert "line 14, reads model/extra.csv, which git ignores: no commit holds it" in result.err
    assert "  next: git add --force model/extra.csv" in result.err


def test_a_host_that_data_asks_is_told(shared_fork: Fork) -> None:
    """Whether it answers or not."""
    fetched = """try:
        __import__("urllib.request").request.urlopen("http://192.0.2.1/table.csv", timeout=0.01)
    except OSError:
        pass
    """
    shared_fork.write_model(INSTANT.replace(GIVEN, fetched + GIVEN, 1))
    said = shared_fork.ok("train").err
    assert said.count("asks 192.0.2.1: what comes from there is no part of the release") == 1, said
    assert "  note       model/instant.py, line 15, asks " in said
