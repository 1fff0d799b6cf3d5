// What tools/device/client.cpp uses of onnxruntime's C++ interface: declarations alone, so that its
// syntax and types can be checked where onnxruntime's own header is not installed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

enum ONNXTensorElementDataType { ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7 };
struct OrtAllocator;
struct OrtRunOptions;

namespace Ort {
struct Env {};
struct SessionOptions {};
struct RunOptions {
  explicit RunOptions(std::nullptr_t);
};
struct AllocatorWithDefaultOptions {
  operator OrtAllocator*();
};
struct AllocatedStringPtr {
  char* get() const;
};
struct TensorTypeAndShapeInfo {
  std::vector<int64_t> GetShape() const;
  size_t GetElementCount() const;
  ONNXTensorElementDataType GetElementType() const;
};
struct TypeInfo {
  TensorTypeAndShapeInfo GetTensorTypeAndShapeInfo() const;
};
struct Value {
  Value(Value&&);
  Value& operator=(Value&&);
  Value(const Value&) = delete;
  template <typename T> T* GetTensorMutableData();
  template <typename T> const T* GetTensorData() const;
  TensorTypeAndShapeInfo GetTensorTypeAndShapeInfo() const;
  static Value CreateTensor(OrtAllocator*, const int64_t* shape, size_t rank,
                            ONNXTensorElementDataType type);
};
struct Session {
  Session(Env&, const char* path, const SessionOptions&);
  size_t GetInputCount() const;
  size_t GetOutputCount() const;
  AllocatedStringPtr GetInputNameAllocated(size_t, OrtAllocator*) const;
  AllocatedStringPtr GetOutputNameAllocated(size_t, OrtAllocator*) const;
  TypeInfo GetInputTypeInfo(size_t) const;
  std::vector<Value> Run(const RunOptions&, const char* const* inputs, const Value* values,
                         size_t count, const char* const* outputs, size_t wanted);
};
}  // namespace Ort
