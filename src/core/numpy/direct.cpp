// The short way to a kernel. NumPy's machinery costs a microsecond a call, in a gufunc of a dozen operands more. Arrays that
// need none of it go to the kernel directly: exact ndarrays, aligned, in native byte order, of the shapes and types that the
// function's entry names. For everything else, every protocol included, these functions return None, and the caller takes the
// way through NumPy, to the same kernels.
#include "direct.h"

namespace sigmax {

Type plain_type(PyObject* object) {
  if (!PyArray_CheckExact(object) || !PyArray_ISCARRAY_RO(array_of(object))) return kTypes;
  return storage_type(array_of(object));
}

Operand absent(Name name) {
  static std::int64_t no_label = 0;
  static npy_bool no_mask = 1;
  if (name == kLabel) return shared(&no_label);
  if (name == kMask) return shared(&no_mask);
  return {};
}

// direct(function, axis, inputs..., outputs...): None for an input that is not there, and for an output that is to be made.
PyObject* py_direct(PyObject*, PyObject* const* args, Py_ssize_t count) {
  const long number = count > 2 ? PyLong_AsLong(args[0]) : -1;
  if (number < 0 || number >= rows_function_count()) return PyErr_Format(PyExc_ValueError, "direct: no such function");
  const RowsFunction& function = rows_function(static_cast<int>(number));
  const int inputs = function.inputs, outputs = function.outputs;
  if (count != 2 + inputs + outputs) return PyErr_Format(PyExc_TypeError, "%s takes %d operands, got %zd", function.name, inputs + outputs, count - 2);
  PyObject* const* objects = args + 2;
  if (!PyArray_CheckExact(objects[0]) || !PyArray_ISBEHAVED_RO(array_of(objects[0])) || !PyLong_CheckExact(args[1])) Py_RETURN_NONE;
  PyArrayObject* x = array_of(objects[0]);
  const Type type = storage_type(x);
  long axis = PyLong_AsLong(args[1]);
  if (axis == -1 && PyErr_Occurred()) PyErr_Clear(), axis = PyArray_NDIM(x);
  if (axis < 0) axis += PyArray_NDIM(x);
  if (type == kTypes || axis < 0 || axis >= PyArray_NDIM(x)) Py_RETURN_NONE;
  DirectCall direct(x, static_cast<int>(axis), type);
  for (int k = 0; k < inputs; ++k)
    if (!direct.take(function.operands[k], objects[k])) Py_RETURN_NONE;
  PyObject* results[2] = {};
  bool fits = true;
  for (int k = 0; fits && k < outputs; ++k) {
    const Name name = function.operands[inputs + k];
    PyObject* given = objects[inputs + k];
    if (given == Py_None) {
      results[k] = reinterpret_cast<PyObject*>(extent_of(name) == kPerRow ? new_array(x, direct.x.last, direct.x.shape, operand_type(name, direct.x.type)) : new_result(x));
      if (results[k] == nullptr) {
        Py_XDECREF(results[0]);
        return nullptr;
      }
    } else {
      fits = PyArray_CheckExact(given) && may_be_written(array_of(given), objects, inputs);
      Py_INCREF(given);
      results[k] = given;
    }
    fits = fits && direct.take(name, results[k]);
  }
  bool enough_memory = true;
  if (fits) {
    without_gil(PyArray_SIZE(x), [&] { enough_memory = run_rows(function, direct.call); });
  }
  if (fits && enough_memory) {
    for (int k = 0; k < outputs; ++k)
      if (objects[inputs + k] == Py_None) results[k] = PyArray_Return(array_of(results[k]));
    return outputs == 1 ? results[0] : Py_BuildValue("(NN)", results[0], results[1]);
  }
  Py_XDECREF(results[0]);
  Py_XDECREF(results[1]);
  if (!enough_memory) return no_memory();
  Py_RETURN_NONE;
}

PyObject* elementwise_directly(const ElementwiseFunction& function, Type type, PyArrayObject* x) {
  PyArrayObject* out = new_result(x);
  if (out == nullptr) return nullptr;
  ElementwiseCall call;
  call.x = {PyArray_BYTES(x), PyArray_ITEMSIZE(x), 0};
  call.out = {PyArray_BYTES(out), PyArray_ITEMSIZE(x), 0};
  const npy_intp count = PyArray_SIZE(x);
  without_gil(count, [&] { run_elements(function, type, call, count); });
  return reinterpret_cast<PyObject*>(out);
}

// class_indices(labels, classes): integers as contiguous int64, or None where one is not in [0, classes).
PyObject* py_class_indices(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) return PyErr_Format(PyExc_TypeError, "class_indices takes 2 arguments, got %zd", count);
  const npy_intp classes = PyLong_AsSsize_t(args[1]);
  if (classes == -1 && PyErr_Occurred()) return nullptr;
  if (!PyArray_Check(args[0])) Py_RETURN_NONE;
  const int flags = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST | NPY_ARRAY_ENSUREARRAY;
  PyObject* array = PyArray_FROMANY(args[0], NPY_INT64, 0, 0, flags);
  if (array == nullptr) return nullptr;
  const std::int64_t* labels = static_cast<const std::int64_t*>(PyArray_DATA(array_of(array)));
  const npy_intp size = PyArray_SIZE(array_of(array));
  bool illegal = false;  // as unsigned numbers: negative ones, and uint64 ones that became negative, are large
  for (npy_intp i = 0; i < size; ++i) illegal |= static_cast<std::uint64_t>(labels[i]) >= static_cast<std::uint64_t>(classes);
  if (!illegal) return array;
  Py_DECREF(array);
  Py_RETURN_NONE;
}

// total(x): the compensated sum of all numbers of x, in C order.
PyObject* py_total(PyObject*, PyObject* object) {
  PyObject* array = PyArray_FROMANY(object, NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
  if (array == nullptr) return nullptr;
  PyArrayObject* x = array_of(array);
  double total = 0;
  bool enough_memory = true;
  without_gil(PyArray_SIZE(x), [&] { enough_memory = run_total(kernels->elements->total, static_cast<const double*>(PyArray_DATA(x)), PyArray_SIZE(x), &total); });
  Py_DECREF(array);
  return enough_memory ? PyFloat_FromDouble(total) : PyErr_NoMemory();
}

// in_unit_interval(x): True only if x is a plain array of numbers in [0, 1], none of them -0.
PyObject* py_in_unit_interval(PyObject*, PyObject* object) {
  const Type type = plain_type(object);
  if (type == kTypes) Py_RETURN_FALSE;
  PyArrayObject* x = array_of(object);
  bool inside = true;
  without_gil(PyArray_SIZE(x), [&] { inside = run_in_unit_interval(kernels->elements->in_unit_interval[type], PyArray_BYTES(x), PyArray_ITEMSIZE(x), PyArray_SIZE(x)); });
  return PyBool_FromLong(inside);
}

namespace {

// A float, or a plain array of the shape of x.
bool take_option(PyObject* object, PyArrayObject* x, double* number, Operand* option) {
  if (PyFloat_CheckExact(object)) {
    *number = PyFloat_AS_DOUBLE(object);
    *option = shared(number);
    return true;
  }
  if (!is_plain(object, NPY_DOUBLE, x)) return false;
  *option = {PyArray_BYTES(array_of(object)), sizeof(double), 0};
  return true;
}

}  // namespace

// binary_loss_sum(function, x, labels, weight, pos_weight, smoothing, divisor, out): the sum of the losses, as `total` has it,
// without the losses; with a function that has a gradient (sum, gradient).
PyObject* py_binary_loss_sum(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 8) return PyErr_Format(PyExc_TypeError, "binary_loss_sum takes 8 arguments, got %zd", count);
  const long number = PyLong_AsLong(args[0]);
  if (number < 0 || number >= kernels->elements->binary_loss_count) return PyErr_Format(PyExc_ValueError, "binary_loss_sum: no such function");
  const BinaryLossFunction& function = kernels->elements->binary_loss[number];
  const Type type = plain_type(args[1]);
  PyArrayObject* x = array_of(args[1]);
  if (type == kTypes || PyArray_NDIM(x) == 0 || !is_plain(args[2], PyArray_TYPE(x), x)) Py_RETURN_NONE;
  double numbers[4];
  BinaryLossCall call;
  Operand* options[] = {&call.weight, &call.pos_weight, &call.smoothing, &call.divisor};
  for (int k = 0; k < 4; ++k)
    if (!take_option(args[3 + k], x, numbers + k, options[k])) Py_RETURN_NONE;
  const npy_intp size = PyArray_ITEMSIZE(x), elements = PyArray_SIZE(x);
  call.x = {PyArray_BYTES(x), size, 0};
  call.labels = {PyArray_BYTES(array_of(args[2])), size, 0};
  PyObject* gradient = nullptr;
  if (function.has_gradient) {
    if (args[7] == Py_None) {
      gradient = reinterpret_cast<PyObject*>(new_result(x));
      if (gradient == nullptr) return nullptr;
    } else {
      if (!is_plain(args[7], PyArray_TYPE(x), x) || !may_be_written(array_of(args[7]), args + 1, 6)) Py_RETURN_NONE;
      gradient = args[7];
      Py_INCREF(gradient);
    }
    call.gradient = {PyArray_BYTES(array_of(gradient)), size, 0};
  }
  double total = 0;
  bool enough_memory = true;
  without_gil(elements, [&] { enough_memory = run_binary_loss_total(kernels->elements->total, function.kernels[type], call, elements, &total); });
  if (!enough_memory) {
    Py_XDECREF(gradient);
    return PyErr_NoMemory();
  }
  return gradient == nullptr ? PyFloat_FromDouble(total) : Py_BuildValue("(dN)", total, gradient);
}

}  // namespace sigmax
