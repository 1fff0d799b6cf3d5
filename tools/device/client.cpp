// Run an exported model over rows from standard input: client MODEL.onnx < rows.csv
// A row holds the numbers of the inputs before the state (x, then y or time), an empty cell is NaN.
// Prints the outputs before the new state.
// Build: g++ -std=c++17 -I$ORT/include client.cpp -L$ORT/lib -lonnxruntime -o client
#include <cmath>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "onnxruntime_cxx_api.h"

using Names = std::vector<std::string>;
using Values = std::vector<Ort::Value>;

static std::vector<const char*> pointers(const Names& names) {
  std::vector<const char*> found;
  for (const std::string& name : names) found.push_back(name.c_str());
  return found;
}

static Names names_of(Ort::Session& session, bool inputs) {
  Ort::AllocatorWithDefaultOptions memory;
  Names names;
  const size_t count = inputs ? session.GetInputCount() : session.GetOutputCount();
  for (size_t k = 0; k < count; ++k)
    names.push_back((inputs ? session.GetInputNameAllocated(k, memory)
                            : session.GetOutputNameAllocated(k, memory)).get());
  return names;
}

static Values run(Ort::Session& session, const Values& fed) {
  const Names inputs = names_of(session, true), outputs = names_of(session, false);
  return session.Run(Ort::RunOptions{nullptr}, pointers(inputs).data(), fed.data(), fed.size(),
                     pointers(outputs).data(), outputs.size());
}

// The input's numbers, taken from the row, as a tensor of the type that the graph asks for.
static Ort::Value read(Ort::Session& session, size_t input, std::istream& row) {
  Ort::AllocatorWithDefaultOptions memory;
  const auto type = session.GetInputTypeInfo(input);
  const auto info = type.GetTensorTypeAndShapeInfo();
  auto shape = info.GetShape();
  shape[0] = 1;
  auto tensor = Ort::Value::CreateTensor(memory, shape.data(), shape.size(), info.GetElementType());
  const bool whole = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  std::string cell;
  for (int64_t k = 0; k < shape.back(); ++k) {
    std::getline(row, cell, ',');
    const bool empty = cell.find_first_not_of(" \r") == std::string::npos;
    if (whole) tensor.GetTensorMutableData<int64_t>()[k] = std::stoll(cell);
    else tensor.GetTensorMutableData<float>()[k] = empty ? NAN : std::stof(cell);
  }
  return tensor;
}

int main(int, char** argv) {
  const std::string path = argv[1];
  Ort::Env env;
  Ort::SessionOptions options;
  Ort::Session model(env, path.c_str(), options);
  Ort::Session init(env, (path.substr(0, path.size() - 5) + ".init.onnx").c_str(), options);
  Values state = run(init, {});
  const size_t kept = state.size(), first = model.GetInputCount() - kept;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream row(line);
    Values fed;
    for (size_t k = 0; k < first; ++k) fed.push_back(read(model, k, row));
    for (Ort::Value& value : state) fed.push_back(std::move(value));
    Values found = run(model, fed);
    state.assign(std::make_move_iterator(found.end() - kept), std::make_move_iterator(found.end()));
    const char* comma = "";
    for (size_t k = 0; k + kept < found.size(); ++k)
      for (size_t i = 0; i < found[k].GetTensorTypeAndShapeInfo().GetElementCount(); ++i, comma = ",")
        std::cout << comma << found[k].GetTensorData<float>()[i];
    std::cout << "\n";
  }
}
