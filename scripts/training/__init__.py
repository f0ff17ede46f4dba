"""From a model file to a judged SavedModel; with reports/, the only package that imports TensorFlow or numpy."""
