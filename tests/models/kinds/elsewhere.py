"""What somebody else trained, weeks ago: the SavedModel that ported.py loads."""

import tensorflow as tf


class Prices(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable([1.0, 2.0])
        keys = tf.lookup.KeyValueTensorInitializer(["eu", "us"], tf.constant([0, 1], tf.int64))
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 1], name="amount"), tf.TensorSpec([None], tf.string, name="region")]
    )
    def priced(self, amount, region):
        return {"price": amount[:, 0] * tf.gather(self.factor, self.table.lookup(region))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="region")])
    def regions(self, region):
        return {"number": self.table.lookup(region)}


def write(folder: str) -> None:
    tf.saved_model.save(Prices(), folder)
