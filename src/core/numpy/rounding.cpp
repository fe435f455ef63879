// The switch of correct rounding, and exact arithmetic for it, which is Python's.
#include "../runtime/run.h"
#include "functions.h"

#include <cstring>

namespace sigmax {
namespace {

PyObject* exact = nullptr;  // a function of Python

template <class N>
N number_at(const Operand& operand, std::ptrdiff_t row) {
  N number;
  std::memcpy(&number, operand.data + row * operand.row_stride, sizeof(number));
  return number;
}

// The logit that a result is of.
double target_of(const RowInDoubt& row, std::ptrdiff_t result) {
  if (row.function == Correct::kLogsumexp) return 0.0;
  return row.logits[row.function == Correct::kCrossEntropy ? number_at<std::int64_t>(row.call[kLabel], row.row) : result];
}

bool exact_result(const RowInDoubt& row, std::ptrdiff_t which, double* number) {
  const PyGILState_STATE state = PyGILState_Ensure();
  npy_intp classes = row.call.classes;
  PyObject* logits = PyArray_SimpleNew(1, &classes, NPY_DOUBLE);
  PyObject* result = nullptr;
  if (logits != nullptr) {
    std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(logits)), row.logits, static_cast<std::size_t>(classes) * sizeof(double));
    result = PyObject_CallFunction(exact, "iiOdd", static_cast<int>(row.function), static_cast<int>(row.call.type), logits,
                                   number_at<double>(row.call[kTemperature], row.row), target_of(row, which));
  }
  Py_XDECREF(logits);
  const bool done = result != nullptr;
  if (done) *number = PyFloat_AsDouble(result);
  Py_XDECREF(result);
  PyGILState_Release(state);
  return done;
}

}  // namespace

// provide_correct_rounding(exact): the function that is asked for what pairs of doubles leave in doubt.
PyObject* py_provide_correct_rounding(PyObject*, PyObject* function) {
  Py_INCREF(function);
  exact = function;
  for (const RowsFunctions* family : kernels->families)
    if (family->correct != nullptr) provide_correct_rounding(family->correct, exact_result);
  Py_RETURN_NONE;
}
PyObject* py_get_correct_rounding(PyObject*, PyObject*) { return PyBool_FromLong(get_correct_rounding()); }
PyObject* py_set_correct_rounding(PyObject*, PyObject* on) {
  set_correct_rounding(on == Py_True);
  Py_RETURN_NONE;
}

}  // namespace sigmax
