"""The embedded model server: TensorFlow Serving's REST and gRPC API in one Python process.

    python -m serving.embedded --rest_api_port=8501 --model_name=m --model_base_path=/models/m

One model manager (`manager`) owns the versions; two front ends (`rest`, `grpc_api`) ask it for servables and
answer in TensorFlow Serving's words. TensorFlow itself is reached by its C API (`tensorflow_c`): no Python
graph, no `import tensorflow`, so the server is up in about a second.
"""
