"""Networks of TensorFlow Lite in torch: a reader of `.tflite` files, and a module for batches."""
