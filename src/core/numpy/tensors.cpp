// Between PyTorch's tensors and arrays, by the C functions that DLPack has for it (__dlpack_c_exchange_api__, DLPack 1.3).
// tensor.numpy() and torch.from_numpy do the same by way of their argument parser: on few numbers most of a call.
#include <cstdint>

#include "functions.h"

namespace sigmax {
namespace {

// The part of dlpack.h that is used.
struct Device {
  std::int32_t type, number;
};
struct ElementType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct View {
  void* data;
  Device device;
  std::int32_t ndim;
  ElementType type;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements
  std::uint64_t offset;
};
struct Managed {
  std::uint32_t major, minor;
  void* context;
  void (*release)(Managed*);
  std::uint64_t flags;
  View view;
};
struct Exchange {
  std::uint32_t major, minor;
  const void* previous;
  const void* allocate;
  const void* managed_from_object;
  int (*managed_to_object)(Managed*, void**);
  int (*view_of_object)(void*, View*);
  const void* stream;
};
constexpr std::int32_t kCpu = 1;
constexpr int kMostDimensions = 32;
constexpr std::uint8_t kInt = 0, kUnsigned = 1, kFloat = 2, kBool = 6;

const Exchange* exchange = nullptr;
PyTypeObject* tensor_type = nullptr;
PyTypeObject* parameter_type = nullptr;

struct Pairing {
  int number;
  std::uint8_t code, bits;
};
constexpr Pairing kPairs[] = {
    {NPY_FLOAT32, kFloat, 32}, {NPY_FLOAT64, kFloat, 64}, {NPY_INT64, kInt, 64},      {NPY_BOOL, kBool, 8},
    {NPY_FLOAT16, kFloat, 16}, {NPY_INT32, kInt, 32},     {NPY_INT16, kInt, 16},      {NPY_INT8, kInt, 8},
    {NPY_UINT8, kUnsigned, 8}, {NPY_UINT16, kUnsigned, 16}, {NPY_UINT32, kUnsigned, 32}, {NPY_UINT64, kUnsigned, 64},
};

// Whether a method or an attribute of a tensor is true; errors count as that.
bool is_true(PyObject* result) {
  const bool truth = result == nullptr || PyObject_IsTrue(result) != 0;
  Py_XDECREF(result);
  return truth;
}

// The array in the memory of a tensor. Null, perhaps with an exception set, where there is none.
PyObject* array_of(PyObject* tensor) {
  static PyObject* const requires_grad = PyUnicode_InternFromString("requires_grad");
  static PyObject* const is_neg = PyUnicode_InternFromString("is_neg");  // its memory holds the negative
  if (Py_TYPE(tensor) != tensor_type && Py_TYPE(tensor) != parameter_type) return nullptr;
  if (is_true(PyObject_GetAttr(tensor, requires_grad)) || is_true(PyObject_CallMethodNoArgs(tensor, is_neg))) return nullptr;
  View view;
  if (exchange->view_of_object(tensor, &view) != 0 || view.device.type != kCpu || view.ndim > kMostDimensions) return nullptr;
  for (const Pairing& pair : kPairs) {
    if (view.type.code != pair.code || view.type.bits != pair.bits) continue;
    npy_intp shape[kMostDimensions], strides[kMostDimensions];
    for (int k = 0; k < view.ndim; ++k) {
      shape[k] = static_cast<npy_intp>(view.shape[k]);
      strides[k] = static_cast<npy_intp>(view.strides[k]) * (pair.bits / 8);
    }
    PyObject* array = PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(pair.number), view.ndim, shape, strides,
                                           static_cast<char*>(view.data) + view.offset, NPY_ARRAY_WRITEABLE, nullptr);
    if (array == nullptr) return nullptr;
    Py_INCREF(tensor);
    if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array), tensor) == 0) return array;
    Py_DECREF(array);
    return nullptr;
  }
  return nullptr;
}

// A tensor's hold on the array whose memory it has.
struct Hold {
  Managed managed;
  PyObject* array;
  std::int64_t shape[kMostDimensions], strides[kMostDimensions];
};

void let_go(Managed* managed) {
  Hold* hold = reinterpret_cast<Hold*>(managed);
  if (Py_IsInitialized()) {
    const PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF(hold->array);
    PyGILState_Release(state);
  }
  delete hold;
}

// Whether a tensor can have the memory of an array: strides that are whole numbers of elements, not negative.
const Pairing* pairing_of(PyArrayObject* array) {
  if (!PyArray_ISBEHAVED(array) || PyArray_NDIM(array) > kMostDimensions) return nullptr;
  const npy_intp size = PyArray_ITEMSIZE(array);
  for (int k = 0; k < PyArray_NDIM(array); ++k) {
    if (PyArray_STRIDE(array, k) < 0 || PyArray_STRIDE(array, k) % size != 0) return nullptr;
  }
  for (const Pairing& pair : kPairs) {
    if (pair.number == PyArray_TYPE(array)) return &pair;
  }
  return nullptr;
}

}  // namespace

// register_tensors(Tensor, Parameter): the classes, for good.
PyObject* py_register_tensors(PyObject*, PyObject* args) {
  PyTypeObject *tensor, *parameter;
  if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &tensor, &PyType_Type, &parameter)) return nullptr;
  PyObject* capsule = PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor), "__dlpack_c_exchange_api__");
  if (capsule == nullptr) return nullptr;
  const void* table = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
  Py_DECREF(capsule);
  if (table == nullptr) return nullptr;
  exchange = static_cast<const Exchange*>(table);
  if (exchange->major != 1) return PyErr_Format(PyExc_ImportError, "DLPack %u is not known", exchange->major);
  Py_INCREF(tensor);
  Py_INCREF(parameter);
  tensor_type = tensor;
  parameter_type = parameter;
  Py_RETURN_NONE;
}

// arrays_of_tensors(values): the arrays in the memory of tensors, other values as they are; None where a tensor has no
// such array, or needs a gradient.
PyObject* py_arrays_of_tensors(PyObject*, PyObject* values) {
  if (!PyTuple_Check(values)) return PyErr_Format(PyExc_TypeError, "values must be a tuple");
  const Py_ssize_t count = PyTuple_GET_SIZE(values);
  PyObject* arrays = PyList_New(count);
  for (Py_ssize_t k = 0; arrays != nullptr && k < count; ++k) {
    PyObject* value = PyTuple_GET_ITEM(values, k);
    if (PyObject_TypeCheck(value, tensor_type)) {
      value = array_of(value);
      if (value == nullptr) {
        PyErr_Clear();
        Py_DECREF(arrays);
        Py_RETURN_NONE;
      }
    } else {
      Py_INCREF(value);
    }
    PyList_SET_ITEM(arrays, k, value);
  }
  return arrays;
}

// tensor_of_array(array): a tensor in the memory of an array or of a new one that holds the number; None where that is
// left to PyTorch.
PyObject* py_tensor_of_array(PyObject*, PyObject* object) {
  PyObject* array = PyArray_CheckExact(object) ? Py_NewRef(object) : PyArray_FROM_O(object);
  if (array == nullptr) return nullptr;
  PyArrayObject* numbers = reinterpret_cast<PyArrayObject*>(array);
  const Pairing* pair = pairing_of(numbers);
  Hold* hold = pair == nullptr ? nullptr : new Hold;
  if (hold == nullptr) {
    Py_DECREF(array);
    Py_RETURN_NONE;
  }
  hold->array = array;
  hold->managed = {1, 0, nullptr, let_go, 0, {}};
  View& view = hold->managed.view;
  view = {PyArray_DATA(numbers), {kCpu, 0}, PyArray_NDIM(numbers), {pair->code, pair->bits, 1}, hold->shape, hold->strides, 0};
  for (int k = 0; k < view.ndim; ++k) {
    hold->shape[k] = PyArray_DIM(numbers, k);
    hold->strides[k] = PyArray_STRIDE(numbers, k) / PyArray_ITEMSIZE(numbers);
  }
  void* tensor = nullptr;
  if (exchange->managed_to_object(&hold->managed, &tensor) == 0) return static_cast<PyObject*>(tensor);
  let_go(&hold->managed);
  return nullptr;
}

// call_with_tensors(function, values, names): function(*values) with arrays in the memory of tensors; the last values have
// names. An array or a number becomes a tensor. NotImplemented where a tensor has no such array, or needs a gradient.
PyObject* py_call_with_tensors(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !PyTuple_Check(args[2])) return PyErr_Format(PyExc_TypeError, "a function, values and names");
  PyObject* arrays = py_arrays_of_tensors(nullptr, args[1]);
  if (arrays == nullptr) return nullptr;
  if (arrays == Py_None) {
    Py_DECREF(arrays);
    Py_RETURN_NOTIMPLEMENTED;
  }
  const Py_ssize_t positional = PyList_GET_SIZE(arrays) - PyTuple_GET_SIZE(args[2]);
  PyObject* result = PyObject_Vectorcall(args[0], PySequence_Fast_ITEMS(arrays), static_cast<std::size_t>(positional), args[2]);
  Py_DECREF(arrays);
  if (result == nullptr || !(PyArray_CheckExact(result) || PyArray_CheckScalar(result))) return result;
  PyObject* tensor = py_tensor_of_array(nullptr, result);
  if (tensor == Py_None) {
    Py_DECREF(tensor);
    return result;
  }
  Py_DECREF(result);
  return tensor;
}

}  // namespace sigmax
