"""ONNX out and weights in: each module here is one way across the border, found by the face."""
